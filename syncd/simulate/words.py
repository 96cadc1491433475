"""What the services' logs hold, in the words of a person who knows the work and not the ids: records by title, fields by name."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from syncd.simulate.case import Case, Effect, own_columns

_RECORD = re.compile(r"rec[A-Za-z0-9]{14}")
_FIELD = re.compile(r"fld[A-Za-z0-9]{14}")
_PULL_REQUEST = re.compile(r"(\{[0-9a-f-]{36}\}|[\w.-]+/[\w.-]+)#(\d+)")
_BRANCH = re.compile(r"(\{[0-9a-f-]{36}\}|[\w.-]+/[\w.-]+):([^\s,']+)")
_REQUEST = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:2\.0|v0)/[^\s,]+)")
_IN_REPOSITORY = re.compile(r"/2\.0/repositories/[^/]+/([^/?]+)(.*)")
_IN_TABLE = re.compile(r"/v0/app[A-Za-z0-9]+/(tbl[A-Za-z0-9]{14})")
_TIME = re.compile(r"\b\d\d:\d\d:\d\d\b")
_SHORT = 60
# An act with what it truly changed, as a sentence: given who did it, and its arguments.
Say = Callable[["Words", str, Mapping[str, Any], Sequence[Effect]], str]


class Words:
    """The names of everything in a finished scenario."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._slugs = {uuid: name.partition("/")[2] for name, uuid in reversed(list(case.repositories.items()))}
        self.fields: dict[str, str] = {one.id: one.name for sync in case.syncs() for one in sync.table_fields.values()}
        self._titles = self._titled()
        columns = {field for _, rules in case.spans for sync in rules.syncs.values() for field in own_columns(sync)}
        runs = {sync.columns.run_id.id for sync in case.syncs() if sync.columns.run_id is not None}
        self.columns, self.runs = columns, runs

    def _titled(self) -> dict[str, str]:
        """Each record by the title that it had first; by a number too where two have the same."""
        found: dict[str, str] = {}
        several = len({sync.table for sync in self._case.syncs()}) > 1
        for sync in self._case.syncs():
            for (place, attribute), every in self._case.history.items():
                if attribute != sync.primary or not _RECORD.fullmatch(place) or place in found:
                    continue
                first = next((one.change.after for one in every if one.change.after), None)
                title = f"“{short(first or place)}”" + (f" of {sync.table_name}" if several else "")
                same = sum(1 for known in found.values() if known.partition(" no. ")[0] == title)
                found[place] = title if not same else f"{title} no. {same + 1}"
        return found

    def record(self, id: str) -> str:
        """A record by its title."""
        return self._titles.get(id, f"record {id}")

    def field(self, id: str) -> str:
        """A field by its name."""
        return self.fields.get(id, id)

    def repository(self, place: str) -> str:
        """A repository by its slug."""
        return self._slugs.get(place, place.partition("/")[2] or place)

    def pull_request(self, place: str) -> str:
        """A pull request, and the record that it is about."""
        where, _, number = place.partition("#")
        shown = f"pull request {self.repository(where)}#{number}"
        uuid = self._case.repositories.get(where, where)
        for attribute in ("source_branch", "title"):
            every = self._case.history.get((f"{uuid}#{number}", attribute), ())
            for one in every[:1]:
                if found := _RECORD.search(str(one.change.after)):
                    return f"{shown} of {self.record(found[0])}"
        return shown

    def branch(self, place: str) -> str:
        """A branch, and the record that it is about."""
        where, _, name = place.partition(":")
        found = _RECORD.search(name)
        of = f"the branch of {self.record(found[0])}" if found else f"the branch {name}"
        return f"{of} in {self.repository(where)}"

    def commit(self, hash: str) -> str:
        """A commit, by the branch whose head it was."""
        for (place, attribute), every in self._case.history.items():
            if attribute == "target" and any(one.change.after == hash for one in every):
                return self.branch(place)
        return f"commit {hash[:12]}"

    def object(self, place: str) -> str:
        """Whatever the logs call so."""
        if _RECORD.fullmatch(place):
            return self.record(place)
        if _PULL_REQUEST.fullmatch(place):
            return self.pull_request(place)
        if _BRANCH.fullmatch(place):
            return self.branch(place)
        return self.text(place)

    def attribute(self, effect: Effect) -> str:
        """A field, or an attribute of a pull request."""
        if effect.change.kind == "record":
            return self.field(effect.change.attribute)
        return effect.change.attribute.replace("_", " ")

    def value(self, raw: Any) -> str:
        """A value, short; titles without syncd's prefix."""
        if raw in (None, "", [], ()):
            return "nothing"
        if isinstance(raw, bool):
            return "ticked" if raw else "not ticked"
        if not isinstance(raw, str):
            return short(str(raw))
        for sync in self._case.syncs():
            found = _RECORD.search(raw)
            if found is not None and sync.link.title is not None:
                raw = raw.removeprefix(sync.link.title.render({"record_id": found[0]})).lstrip() or raw
        return f"“{short(raw)}”"

    def text(self, text: str) -> str:
        """A sentence in which ids, requests and times of day stand."""
        text = _REQUEST.sub(lambda found: self.request(found[1], unquote(found[2])), text)
        text = _TIME.sub(lambda found: self._since(found[0]), text)
        text = _PULL_REQUEST.sub(lambda found: self.pull_request(found[0]), text)
        text = _BRANCH.sub(lambda found: self.branch(found[0]), text)
        text = _RECORD.sub(lambda found: self._titles.get(found[0], found[0]), text)
        text = _FIELD.sub(lambda found: self.field(found[0]), text)
        return re.sub(r"\{[0-9a-f-]{36}\}", lambda found: self._slugs.get(found[0], found[0]), text)

    def request(self, method: str, path: str) -> str:
        """A request by what it is about."""
        if (found := _IN_REPOSITORY.match(path)) is not None:
            place, rest = found[1], found[2].partition("?")[0]
            number = re.match(r"/pullrequests/(\d+)(.*)", rest)
            what = (
                f"{place}#{number[1]}{number[2]}"
                if number
                else f"{rest.strip('/')} of {self.repository(place)}".strip()
            )
        elif (table := _IN_TABLE.match(path)) is not None:
            what = next((f"the table {sync.table_name}" for sync in self._case.syncs() if sync.table == table[1]), path)
        else:
            what = path
        return f"{'a question' if method == 'GET' else 'a request'} ({method}) to {what}"

    def _since(self, time: str) -> str:
        """A time of day by the clock of the story."""
        begun = self._case.marks["begun"]
        hours, minutes, seconds = map(int, time.split(":"))
        passed = (
            int((begun.replace(hour=hours, minute=minutes, second=seconds, microsecond=0) - begun).total_seconds()) + 1
        )
        return f"{passed // 60}:{passed % 60:02d}" if 0 <= passed < 14_400 else time


def short(raw: Any) -> str:
    """At most sixty characters, in one line."""
    text = " ".join(str(raw).split("\n"))
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


# ------------------------------------------------------------------------------------------------------ syncd's


def written(case: Case, words: Words) -> list[tuple[datetime, str]]:
    """What syncd wrote: a line for each record, pull request or branch of a request."""
    found: list[tuple[datetime, str]] = []
    groups: dict[tuple[str, int, str], list[Effect]] = {}
    for effect in case.effects:
        if effect.own and effect.change.kind in ("record", "pull_request", "branch"):
            groups.setdefault((effect.service, effect.entry.sequence, effect.change.object), []).append(effect)
    for effects in groups.values():
        if line := _wrote(words, effects):
            found.append((effects[0].entry.at, f"syncd {line}"))
    return found


def _wrote(words: Words, effects: Sequence[Effect]) -> str:
    first, named = effects[0], {one.change.attribute: one.change for one in effects}
    what = words.object(first.change.object)
    if first.change.kind == "branch":
        return f"deletes {what}" if first.change.after is None else f"makes {what}"
    if first.change.kind == "pull_request" and "source_branch" in named and named["source_branch"].before is None:
        title = words.value(named["title"].after) if "title" in named else ""
        draft = " as a draft" if "draft" in named and named["draft"].after else ""
        return f"opens {what}{draft}, titled {title}"
    told = [
        f"{words.attribute(one)} from {words.value(one.change.before)} to {words.value(one.change.after)}"
        for one in effects
        if one.change.attribute not in words.runs and one.change.attribute not in ("updated_on", "queued")
    ]
    return f"writes to {what}: {'; '.join(told)}" if told else ""


# ------------------------------------------------------------------------------------------------------ people's

_ADMINISTRATION: Mapping[str, str] = {
    "expire_hook": "Airtable's webhook expires",
    "disable_hook": "Airtable switches the webhook off",
    "drop_payloads": "Airtable throws away the changes that it had kept for syncd",
    "forget_offsets": "Airtable forgets every page of every running listing",
    "hide_repository": "the repository {repository} can no longer be seen by syncd's token",
    "show_repository": "the repository {repository} can be seen again",
    "rename_repository": "somebody renames the repository {repository} to “{name}”",
    "delete_hook": "somebody deletes a Bitbucket webhook",
    "edit_hook": "somebody switches a Bitbucket webhook off",
    "rename_field": "an administrator renames the field {field} to “{name}”",
    "retype_field": "an administrator changes the type of the field {field}",
    "delete_field": "an administrator deletes the field {field}",
    "rename_table": "an administrator renames the table to “{name}”",
    "delete_view": "an administrator deletes the view {view}",
    "add_choice": "an administrator adds the option “{name}” to the field {field}",
    "rename_choice": "an administrator renames the option “{choice}” of the field {field} to “{name}”",
    "delete_choice": "an administrator deletes the option “{choice}” of the field {field}",
    "restart": "syncd is stopped and started again",
    "compare": "somebody asks for a full compare",
    "apply": "somebody accepts the plan: syncd apply",
    "resolve": "somebody resolves every open conflict: what {winner} says stands",
    "remember_state": "a backup of the state is made",
    "restore_state": "syncd is stopped, the backup is put in the state's place, and syncd starts on it",
    "forge": "a request that no service made arrives at syncd's {provider} webhook",
    "replay": "a genuine delivery arrives once more",
    "comment": "somebody comments on a pull request",
    "edit": "{who} saves a record without a change",
    "edit_pull_request": "{who} saves a pull request without a change",
    "delete_many": "{who} deletes every record of the table",
}
VARIANTS: Mapping[str, str] = {
    "both": "titles and descriptions belong to both sides",
    "revert": "foreign edits are taken back",
    "each": "descriptions are written to every open pull request",
    "bitbucket": "descriptions belong to Bitbucket",
    "no-columns": "no column shows the run or the note",
    "tight": "the guard lets no more than two records change unasked",
}
_AWAY = {
    ("token", False): "the token for {service} is revoked",
    ("token", True): "the token for {service} is valid again",
}


def act(words: Words, verb: str, given: Mapping[str, Any], effects: Sequence[Effect], rename: Mapping[str, str]) -> str:
    """
    What somebody did, as a sentence.

    Args:
        given: the act's arguments.
        effects: what it truly changed.
        rename: slugs by number of a repository.
    """
    who = str(given.get("user", _WHO.get(verb, "ada"))).title()
    service = str(given.get("service", "airtable")).title()
    if verb in _EFFECTS and effects:
        return _EFFECTS[verb](words, who, given, effects)
    if verb == "token":
        return _AWAY[verb, bool(given.get("valid"))].format(service=service)
    if verb == "role":
        may = "may write to the base again" if given["role"] in ("create", "edit") else "may only read the base"
        return f"syncd's account {may}"
    if verb == "second_client":
        return f"another program makes {given.get('requests', 6)} requests to {service}, out of the budget that syncd shares"
    if verb in ("jump", "suspend"):
        seconds = float(given["seconds"])
        return (
            f"the machine sleeps for {span(seconds)}"
            if verb == "suspend"
            else f"the machine's clock jumps {'ahead' if seconds > 0 else 'back'} by {span(abs(seconds))}"
        )
    if verb in ("pause", "resume"):
        return (
            f"somebody stops syncd's writes: syncd pause {given.get('scope', 'all')}"
            if verb == "pause"
            else f"the writes are let go on: syncd resume {given.get('scope', 'all')}"
        )
    if verb == "reload":
        variant = str(given.get("variant", ""))
        changed = f"; it says something else now: {VARIANTS.get(variant, variant)}" if variant else ""
        return f"syncd reads its spec again{changed}"
    if verb == "deploy":
        return f"the main branch of {rename.get(str(given.get('repository', 0)), 'a repository')} is deployed to {given.get('environment', 'Production')}"
    name = str(given.get("act", verb))
    told = {
        "who": who,
        "repository": rename.get(str(given.get("repository", 0)), ""),
        "winner": "airtable",
        **{key: value for key, value in given.items() if key != "repository"},
        "provider": str(given.get("provider", "bitbucket")).title(),
    }
    try:
        return _ADMINISTRATION[name].format(**told)
    except KeyError:
        return f"{who}: {name.replace('_', ' ')}"


def span(seconds: float) -> str:
    """A duration as people say it."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return f"{seconds:g} seconds"


_WHO = {
    **dict.fromkeys(("branch", "open_pull_request", "strange_pull_request", "delete_branch"), "linus"),
    **dict.fromkeys(("push", "edit_pull_request", "merge", "decline", "approve", "comment"), "grace"),
}


def _edited(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
    del given
    told = [
        f"{words.attribute(one)} of {words.object(one.change.object)} from {words.value(one.change.before)} to {words.value(one.change.after)}"
        for one in effects
        if one.change.attribute in words.fields or one.change.kind == "pull_request"
    ]
    return f"{who} changes {'; '.join(told[:3])}" + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def _edited_all(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
    cells = ", ".join(f"{name} = {words.value(value)}" for name, value in given["cells"].items())
    return f"{who} pastes {cells} over {len({one.change.object for one in effects})} records at once"


def _added(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
    cells = ", ".join(f"{name} {words.value(value)}" for name, value in list(given.get("cells", {}).items())[1:])
    return f"{who} adds the record {words.object(effects[0].change.object)}" + (f", with {cells}" if cells else "")


def _says(sentence: str) -> Say:
    def say(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
        del given
        return sentence.format(who=who, what=words.object(effects[0].change.object))

    return say


def _of_pull_request(sentence: str) -> Say:
    def say(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
        one = next((one for one in effects if one.change.kind == "pull_request"), effects[0])
        return sentence.format(
            who=who,
            what=words.object(one.change.object),
            yes="approves" if given.get("yes", True) else "takes back the approval of",
        )

    return say


def _built(words: Words, who: str, given: Mapping[str, Any], effects: Sequence[Effect]) -> str:
    del who
    head = effects[0].change.object.partition("@")[2].partition("/")[0]
    return f"the build “{given.get('key', 'ci')}” of {words.commit(head)} is {given.get('state', '')}"


_EFFECTS: Mapping[str, Say] = {
    "edit": _edited,
    "edit_pull_request": _edited,
    "edit_many": _edited_all,
    "create": _added,
    "duplicate": _says("{who} duplicates a record: {what}"),
    "delete": _says("{who} deletes {what}"),
    "restore": _says("{who} takes {what} back from the trash"),
    "push": _says("{who} pushes a commit to {what}"),
    "branch": _says("{who} makes {what} by hand"),
    "delete_branch": _says("{who} deletes {what}"),
    "open_pull_request": _of_pull_request("{who} opens {what}"),
    "strange_pull_request": _of_pull_request(
        "{who} opens {what} from another branch, its title marked as that record's"
    ),
    "merge": _of_pull_request("{who} merges {what}"),
    "decline": _of_pull_request("{who} declines {what}"),
    "approve": _of_pull_request("{who} {yes} {what}"),
    "build": _built,
}
