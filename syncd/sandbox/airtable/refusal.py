"""Airtable's refusals, word for word where they are known (reference/airtable.md section 7, the collected error catalogue)."""

import json
from typing import Any

from syncd.sandbox.choices import Choices, MissingRecord, UnknownToken


class Refusal(Exception):
    """A request that is answered with an error and changes nothing."""

    def __init__(self, status: int, body: Any) -> None:
        """Keep the answer: `body` is the JSON value, or None for an empty body."""
        super().__init__(status, body)
        self.status = status
        self.body = body


def _typed(status: int, kind: str, message: str | None = None) -> Refusal:
    error = {"type": kind} if message is None else {"type": kind, "message": message}
    return Refusal(status, {"error": error})


def no_such_route() -> Refusal:
    """A bad path, or an id of the wrong shape; comes before authentication."""
    return Refusal(404, {"error": "NOT_FOUND"})


def unauthenticated(choices: Choices) -> Refusal:
    """Token missing, unknown, expired or revoked."""
    if choices.unknown_token is UnknownToken.UNAUTHORIZED:
        return _typed(401, "UNAUTHORIZED", "Invalid token")
    return _typed(401, "AUTHENTICATION_REQUIRED", "Authentication required")


def not_permitted_or_not_found() -> Refusal:
    """Unknown or not granted base or table, or a scope missing: one answer for all of them."""
    return _typed(
        403,
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
        "Invalid permissions, or the requested model was not found. Check that both your user and your token have the "
        "required permissions, and that the model names and/or ids are correct.",
    )


def not_permitted() -> Refusal:
    """The user's role, or a table's or field's own permission, forbids it."""
    return _typed(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")


def create_not_permitted(table_name: str, table_id: str) -> Refusal:
    """A create is refused as a whole when one field is not editable; the table is named, not the field."""
    return _typed(
        403, "INVALID_PERMISSIONS", f"You are not permitted to create records in table {table_name} ({table_id})"
    )


def missing_record(choices: Choices) -> Refusal:
    """A well-formed record id that is not there."""
    if choices.missing_record is MissingRecord.NOT_FOUND:
        return _typed(404, "NOT_FOUND")
    return _typed(404, "MODEL_ID_NOT_FOUND", "Record not found")


def missing_hook() -> Refusal:
    """A webhook that is gone, or was never there."""
    return _typed(404, "NOT_FOUND")


def missing_row(record_id: str) -> Refusal:
    """A batch, or a link cell, names a record that is not there."""
    return _typed(422, "ROW_DOES_NOT_EXIST", f"Record ID {record_id} does not exist in this table")


def unknown_field(name: str) -> Refusal:
    """A field name or id that the table does not have."""
    return _typed(422, "UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')


def bad_value(field_name: str) -> Refusal:
    """The wrong type of value for the field, typecast off."""
    return _typed(422, "INVALID_VALUE_FOR_COLUMN", f'Field "{field_name}" cannot accept the provided value')


def computed_field(field_name: str) -> Refusal:
    """A value for a field that only Airtable fills."""
    return _typed(
        422, "INVALID_VALUE_FOR_COLUMN", f'Field "{field_name}" cannot accept a value because the field is computed'
    )


def unknown_choice(name: str) -> Refusal:
    """A select choice that is not there, typecast off or no right to add one."""
    return _typed(
        422,
        "INVALID_MULTIPLE_CHOICE_OPTIONS",
        f'Insufficient permissions to create new select option ""{name}""',
    )


def bad_attachment(field_name: str, value: Any) -> Refusal:
    """A malformed attachment; the message shows it with an indent of two."""
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return _typed(422, "INVALID_ATTACHMENT_OBJECT", f"Invalid attachment object for field {field_name}: {shown}")


def too_many_records(verb: str, count: int) -> Refusal:
    """More than ten records in one request."""
    return _typed(
        422,
        "INVALID_RECORDS",
        f"A maximum of 10 records can be {verb} per request but you have provided {count}.",
    )


def bad_records(message: str) -> Refusal:
    """A malformed `records` array."""
    return _typed(422, "INVALID_RECORDS", message)


def bad_request() -> Refusal:
    """A body or parameter of the wrong shape."""
    return _typed(
        422,
        "INVALID_REQUEST_UNKNOWN",
        "Invalid request: parameter validation failed. Check your request data.",
    )


def bad_body() -> Refusal:
    """A body that is not JSON."""
    return _typed(422, "INVALID_REQUEST_BODY", "Could not parse request body")


def bad_formula(reason: str = "Invalid formula. Please check your formula text.") -> Refusal:
    """`filterByFormula` cannot be read, or names a field that is not there."""
    return _typed(422, "INVALID_FILTER_BY_FORMULA", f"The formula for filtering records is invalid: {reason}")


def missing_view(named_by_id: bool) -> Refusal:
    """The view is gone or hidden."""
    return _typed(422, "VIEW_ID_NOT_FOUND" if named_by_id else "VIEW_NAME_NOT_FOUND")


def offset_expired() -> Refusal:
    """The listing's snapshot is gone: start again at page one."""
    return _typed(422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")


def bad_offset(offset: str) -> Refusal:
    """An offset that was cut, or belongs to another query."""
    return _typed(422, "INVALID_OFFSET_VALUE", f"The value of offset {offset.partition('/')[0]} is invalid")


def too_many_hooks() -> Refusal:
    """The eleventh webhook of a base."""
    return _typed(422, "TOO_MANY_WEBHOOKS_IN_BASE")


def too_many_hooks_for_integration() -> Refusal:
    """The third webhook of one OAuth integration in one base."""
    return _typed(
        422,
        "TOO_MANY_WEBHOOKS_IN_BASE_FOR_INTEGRATION",
        "Cannot create webhook: the OAuth integration already has the maximum number of webhooks in this base",
    )


def too_fast() -> Refusal:
    """More than 5 requests a second for a base, or 50 for a user. No Retry-After."""
    return Refusal(
        429,
        {"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}]},
    )


def quota_spent() -> Refusal:
    """The workspace's calls of this month are used up."""
    return _typed(
        429,
        "PUBLIC_API_BILLING_LIMIT_EXCEEDED",
        "API billing plan limit exceeded. You've reached the maximum number of requests allowed for this month.",
    )
