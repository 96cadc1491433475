"""Comments at records: they make no payload and move no clock (reference/airtable.md 6.2)."""

from typing import Any

from syncd.sandbox.airtable import refusal
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.world import Comment, Record, milliseconds, seconds, shaped
from syncd.sandbox.wire import Change


def list_comments(call: Call) -> Any:
    """`GET …/{rec}/comments`, newest first; `offset` is null at the end, not absent."""
    call.need("data.recordComments:read")
    newest_first = list(reversed(_record(call).comments))
    size = min(_whole(call.query("pageSize"), 100), 100)
    start = _whole(call.query("offset"), 0)
    following = start + size
    return {
        "comments": [_shown(call, each, seconds) for each in newest_first[start:following]],
        "offset": str(following) if following < len(newest_first) else None,
    }


def create_comment(call: Call) -> Any:
    """`POST …/{rec}/comments`: answered with milliseconds, listed with seconds (recorded)."""
    call.need("data.recordComments:write")
    record = _record(call)
    call.need_role("comment")
    text = call.body(frozenset({"text", "parentCommentId"})).get("text")
    if not isinstance(text, str) or not text:
        raise refusal.bad_request()
    comment = Comment(id=call.world.new_id("com"), author=call.token.user, text=text, created_at=call.now)
    record.comments.append(comment)
    _log(call, comment, None, text)
    return _shown(call, comment, milliseconds)


def update_comment(call: Call) -> Any:
    """`PATCH …/comments/{com}`: only its author may."""
    call.need("data.recordComments:write")
    comment = _own(call)
    text = call.body(frozenset({"text"})).get("text")
    if not isinstance(text, str) or not text:
        raise refusal.bad_request()
    before, comment.text, comment.updated_at = comment.text, text, call.now
    _log(call, comment, before, text)
    return _shown(call, comment, milliseconds)


def delete_comment(call: Call) -> Any:
    """`DELETE …/comments/{com}`: only its author may."""
    call.need("data.recordComments:write")
    comment = _own(call)
    _record(call).comments.remove(comment)
    _log(call, comment, comment.text, None)
    return {"id": comment.id, "deleted": True}


def _whole(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise refusal.bad_request()
    return int(text)


def _record(call: Call) -> Record:
    table = call.table(call.parts[2])
    if not shaped(call.parts[3], "rec"):
        raise refusal.no_such_route()
    record = table.records.get(call.parts[3])
    if record is None:
        raise refusal.missing_record(call.world.choices)
    return record


def _own(call: Call) -> Comment:
    comment = next((each for each in _record(call).comments if each.id == call.parts[5]), None)
    if comment is None:
        raise refusal.Refusal(404, {"error": {"type": "NOT_FOUND"}})
    if comment.author is not call.token.user:
        raise refusal.not_permitted()
    return comment


def _shown(call: Call, comment: Comment, moment: Any) -> dict[str, Any]:
    author = comment.author
    shown: dict[str, Any] = {
        "id": comment.id,
        "author": {"id": author.id, "email": author.email, "name": author.name},
        "text": comment.text,
        "createdTime": moment(comment.created_at),
        "lastUpdatedTime": None if comment.updated_at is None else moment(comment.updated_at),
        "reactions": [],
    }
    mentioned = {
        user.id: {"type": "user", "id": user.id, "displayName": user.name, "email": user.email}
        for user in call.world.users.values()
        if f"@[{user.id}]" in comment.text
    }
    return {**shown, "mentioned": mentioned} if mentioned else shown


def _log(call: Call, comment: Comment, before: str | None, after: str | None) -> None:
    call.changes.append(Change(kind="comment", object=comment.id, attribute="text", before=before, after=after))
