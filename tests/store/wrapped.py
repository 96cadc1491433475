"""A real connection whose statements are counted, or fail when a test says so. Handed in as the store's `connect`."""

from collections.abc import Callable
from typing import Any

from syncd.store.columns import Connection, sqlite3

# SQLite's result codes (sqlite.org/rescode.html).
FULL, IOERR_FSYNC, BUSY, CORRUPT = 13, 1034, 5, 11


def failure(code: int, message: str) -> sqlite3.Error:
    """An error as SQLite raises it."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


class Wrapped(sqlite3.Connection):
    """Calls `before` with each statement; what that raises is raised in the statement's place."""

    statements: list[str]
    before: Callable[[str], None]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._note(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self._note(sql)
        return super().executemany(sql, parameters)

    def _note(self, sql: str) -> None:
        if "statements" in self.__dict__:
            self.statements.append(sql)
            self.before(sql)


class Bench:
    """Opens connections, and rules the last one it opened."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self._fails: dict[str, sqlite3.Error] = {}

    def connect(self, target: str) -> Connection:
        """As `database.connect`."""
        opened: Wrapped = sqlite3.connect(
            target,
            uri=target.startswith("file:"),
            isolation_level=None,
            check_same_thread=False,
            timeout=0.05,
            factory=Wrapped,
        )
        opened.statements = self.statements
        opened.before = self._before
        return opened

    def fail(self, start: str, error: sqlite3.Error) -> None:
        """Every statement that starts so fails from now on."""
        self._fails[start] = error

    def heal(self) -> None:
        """Nothing fails any more."""
        self._fails.clear()

    def _before(self, sql: str) -> None:
        for start, error in self._fails.items():
            if sql.lstrip().startswith(start):
                raise error
