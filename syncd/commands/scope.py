"""Scopes of the kill switch, as the commands `pause` and `resume` take them."""

import re

from syncd import errors

_SCOPE = re.compile(r"all|to-airtable|to-bitbucket|sync\.[A-Za-z0-9_-]+")


def require(scope: str) -> str:
    """The scope itself. Raises UsageError when there can be no such scope."""
    if _SCOPE.fullmatch(scope) is None:
        raise errors.UsageError(
            f'"{scope}" is no scope; expected all, sync.NAME, to-airtable or to-bitbucket', next_step="syncd pause all"
        )
    return scope
