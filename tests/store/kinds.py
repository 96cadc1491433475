"""Every kind of store that the contract tests run over, each able to be left and opened again as a restart does it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from syncd import ports
from syncd.store.sqlite import SqliteStore


class State:
    """One state: the store that has it open, and a restart."""

    def __init__(self, store: SqliteStore, again: Callable[[SqliteStore], SqliteStore]) -> None:
        self._store = store
        self._again = again

    @property
    def store(self) -> ports.Store:
        """The store of the running process."""
        return self._store

    def restart(self) -> ports.Store:
        """End the process in an orderly way and start another."""
        self._store = self._again(self._store)
        return self._store

    def close(self) -> None:
        """The test is over."""
        self._store.close()


@contextmanager
def on_a_file(folder: Path) -> Iterator[State]:
    """SQLite on a file, as in production."""

    def again(store: SqliteStore) -> SqliteStore:
        store.close()
        return SqliteStore.open(folder / "syncd.db")

    state = State(SqliteStore.open(folder / "syncd.db"), again)
    try:
        yield state
    finally:
        state.close()


@contextmanager
def in_memory(_: Path) -> Iterator[State]:
    """SQLite in memory, started again from its image, as the simulator does it."""

    def again(store: SqliteStore) -> SqliteStore:
        image = store.image()
        store.close()
        return SqliteStore.in_memory(image)

    state = State(SqliteStore.in_memory(), again)
    try:
        yield state
    finally:
        state.close()


KINDS: Mapping[str, Callable[[Path], object]] = {"file": on_a_file, "memory": in_memory}
