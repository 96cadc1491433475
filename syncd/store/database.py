"""
Open the state file so that it can be trusted: one process, one writing connection, checked, durable, private.

Older SQLite corrupts a WAL file that two connections write or checkpoint at once; one connection that does both cannot
(reference/dependencies.md 3). So whoever writes holds the lock file beside the state file.
"""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from syncd import errors
from syncd.store import columns, migrations
from syncd.store.columns import Connection, sqlite3

# How long a statement waits for a foreign program that holds the file (reliability.md ST04).
BUSY_TIMEOUT_S = 5.0
# Below 1000 checkpoints are many, above 4000 each is long; both make slow acknowledgements (dependencies.md 2).
CHECKPOINT_PAGES = 2000
# A log that a long reader let grow is cut back to this (reliability.md "Soak").
WAL_BYTES_MAX = 64 * 1024 * 1024
# STRICT tables.
SQLITE_MIN = (3, 37, 0)
# A smaller image for the simulator: the empty schema has some seventy pages.
MEMORY_PAGE_BYTES = 1024

Connect = Callable[[str], Connection]


def connect(target: str) -> Connection:
    """A connection to a file's URI or to ":memory:", in autocommit mode: transactions are begun by hand."""
    return sqlite3.connect(
        target, uri=target.startswith("file:"), isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S
    )


class Lock:
    """
    The lock file of one state file, held by this process until `release`.

    Args:
        path: the state file; its lock is `<name>.lock` beside it and holds the holder's process id for people.

    Raises:
        StateInUse: another process, or another store of this one, holds it.
        StoreError: there is no such folder, or it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        lock = path.with_name(path.name + ".lock")
        try:
            self._file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(lock, error) from error
        try:
            # Of the open file, not of the process: it ends with the process however that ends, and only then.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise errors.StateInUse(
                f"{path} is in use by process {holder}; one state file has one writer",
                next_step=f"ask the running daemon (syncd status), or stop process {holder} and try again",
            ) from error
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as error:
            os.close(self._file)
            raise _unusable(lock, error) from error

    def release(self) -> None:
        """Let others have it. The file stays: removing it would let two processes lock two files of one name."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _unusable(lock: Path, error: OSError) -> errors.StoreError:
    return errors.StoreError(
        f"{lock} cannot be written: {error.strerror or error}",
        next_step=f"see that {lock.parent} is there, is yours and has room; STATE_DIRECTORY names another folder",
    )


def open_file(path: Path, connect: Connect) -> Connection:
    """
    Open the state file for writing, make it if there is none, check it and bring its schema up to date.

    The caller holds the lock.

    Raises:
        StoreError: it is damaged, of another program, or written by a newer syncd.
    """
    _set_orphan_aside(path)
    _make_private(path)
    checked = _require_sound_untouched(path, connect)
    connection = _connect(path, f"file:{_quoted(path)}?mode=rw", connect)
    try:
        if not checked:
            _require_sound(connection, path)
        # The mode is remembered in the file and may only be set outside a transaction; the rest is per connection.
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").fetchone()
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}").fetchone()
        _prepare(connection)
        migrations.apply(connection)
    except sqlite3.Error as error:
        connection.close()
        raise not_opened(path, error) from error
    except errors.StoreError:
        connection.close()
        raise
    return connection


def open_reader(path: Path, connect: Connect) -> Connection:
    """
    Open the state file for reading only, beside whoever writes it.

    Raises:
        StoreError: there is none, or its schema is not this program's.
    """
    connection = _connect(path, f"file:{_quoted(path)}?mode=ro", connect)
    try:
        # A reader never checkpoints: that is the writer's alone.
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
        _require_known(connection, path)
        if migrations.applied(connection) != migrations.NAMES:
            raise errors.StoreError(
                f"{path} was written by an older syncd and was not brought up to date yet",
                next_step="start the daemon once (syncd run)",
            )
        _prepare(connection)
    except sqlite3.Error as error:
        connection.close()
        raise not_opened(path, error) from error
    except errors.StoreError:
        connection.close()
        raise
    return connection


def open_memory(image: bytes | None, connect: Connect) -> Connection:
    """A state in memory, empty or from an image that `serialize` gave."""
    connection = connect(":memory:")
    if image is None:
        connection.execute(f"PRAGMA page_size = {MEMORY_PAGE_BYTES}")
    else:
        connection.deserialize(image)
    _require_known(connection, Path(":memory:"))
    _prepare(connection)
    migrations.apply(connection)
    return connection


def backup(connection: Connection, target: Path) -> None:
    """
    Copy the state into a new file while it is in use: made beside the target, then renamed.

    Raises:
        StoreError: the target cannot be written; an older backup there is left as it was.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        _make_private(part)
        copy = connect(f"file:{_quoted(part)}?mode=rw")
        try:
            connection.backup(copy)
            # Alone in its file: a backup is copied about without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        finally:
            copy.close()
        part.replace(target)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise errors.StoreError(
            f"the backup {target} could not be written: {error}", next_step="free space there, or name another place"
        ) from error


def not_opened(path: Path, error: sqlite3.Error) -> errors.StoreError:
    """Why the file could not be opened. A full disk and a lock say nothing against the file."""
    match primary_code(error):
        case columns.FULL:
            return errors.StoreError(
                f"no space is left for {path}", next_step="free space on its disk, then start syncd again"
            )
        case code if code in columns.BUSY:
            return errors.StoreError(
                f"{path} is locked by another program ({error})",
                next_step=f"close whatever has it open (fuser {path}), then start syncd again",
            )
    return unreadable(path, str(error))


def unreadable(path: Path, why: str) -> errors.StoreError:
    """The state file cannot be trusted. Nothing is deleted: a person decides (reliability.md ST05)."""
    return errors.StoreError(
        f"{path} cannot be read: {why}",
        next_step=f"keep a copy of {path} and of {path.name}-wal, then put a backup in their place, or start without"
        ' (OPERATIONS.md, "The state file is lost or damaged")',
    )


def _connect(path: Path, uri: str, connect: Connect) -> Connection:
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        raise errors.StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old, {'.'.join(map(str, SQLITE_MIN))} is needed",
            next_step="install pysqlite3 into syncd's environment, or a newer SQLite",
        )
    try:
        return connect(uri)
    except sqlite3.Error as error:
        raise not_opened(path, error) from error


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _make_private(path: Path) -> None:
    """The file is the owner's alone, from its first byte; SQLite gives its log the same mode."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.StoreError(
            f"{path} cannot be opened: {error.strerror}",
            next_step=f"see that {path.parent} is there, has room, and lets the daemon's user write",
        ) from error
    try:
        if os.fstat(file).st_mode & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def _require_sound_untouched(path: Path, connect: Connect) -> bool:
    """
    Check the file by a connection that cannot write: one that can would fold the log into a damaged file when it closes.

    Returns:
        False when a crash left a journal, as in a file's first moments: only a connection that writes can undo it.

    Raises:
        StoreError: it is damaged, of another program, or written by a newer syncd. Not one byte of it was changed.
    """
    if path.with_name(path.name + "-journal").exists():
        return False
    # Without a log the file is all there is, and nothing is made beside it.
    alone = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    connection = _connect(path, f"file:{_quoted(path)}?mode=ro{alone}", connect)
    try:
        _require_sound(connection, path)
    except sqlite3.Error as error:
        raise not_opened(path, error) from error
    finally:
        connection.close()
    return True


def _set_orphan_aside(path: Path) -> None:
    """A log whose file is gone says nothing any more, and SQLite would delete it: a person may still want it (ST07)."""
    wal = path.with_name(path.name + "-wal")
    if (path.exists() and path.stat().st_size) or not wal.exists() or not wal.stat().st_size:
        return
    names = (wal.with_name(f"{wal.name}.orphan-{number}") for number in itertools.count(1))
    wal.rename(next(name for name in names if not name.exists()))


@contextlib.contextmanager
def left_alone(path: Path | None) -> Iterator[None]:
    """
    While it lasts, this process's connections to the file close without writing: no last fsync after one that failed (ST03).

    Args:
        path: the state file; None: nothing is held.
    """
    witness = None
    # What cannot be opened or read here cannot be written by whoever closes, either.
    with contextlib.suppress(sqlite3.Error):
        if path is not None:
            witness = connect(f"file:{_quoted(path)}?mode=ro")
            witness.execute("SELECT count(*) FROM sqlite_master").fetchone()
    try:
        yield
    finally:
        if witness is not None:
            witness.close()


def identity(path: Path | None) -> tuple[tuple[int, int] | None, ...]:
    """Which file lies at the path, and which log beside it, however they are called; None where there is none."""
    return () if path is None else tuple(_inode(one) for one in (path, path.with_name(path.name + "-wal")))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def written_at(path: Path) -> int:
    """When the log beside the file was last written, in nanoseconds since 1970 by the file system's clock; 0 without one."""
    try:
        return path.with_name(path.name + "-wal").stat().st_mtime_ns
    except OSError:
        return 0


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code (sqlite.org/rescode.html); 0 when the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _require_sound(connection: Connection, path: Path) -> None:
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)").fetchall()]
    if found != ["ok"]:
        raise unreadable(path, "; ".join(found))
    _require_known(connection, path)


def _require_known(connection: Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    # A crash may leave only the list of steps behind; everything of ours comes with the first step.
    if application not in (0, migrations.APPLICATION_ID) or (
        application == 0 and tables and not _only_steps(connection)
    ):
        raise errors.StoreError(
            f"{path} is not a state file of syncd", next_step="name another file under daemon.state in the spec"
        )
    unknown = [name for name in migrations.applied(connection) if name not in migrations.NAMES]
    if unknown:
        raise errors.StoreError(
            f"{path} was written by a newer syncd (it has {', '.join(unknown)}, this one knows up to {migrations.NAMES[-1]})",
            next_step="install that version again, or put back a backup from before the upgrade",
        )


def _only_steps(connection: Connection) -> bool:
    names = connection.execute("SELECT tbl_name FROM sqlite_master").fetchall()
    return all(name == migrations.MIGRATIONS.migrations_table for (name,) in names)


def _prepare(connection: columns.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # What retention deletes is overwritten: bodies may hold names of people (reliability.md I30).
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    connection.execute("PRAGMA temp_store = MEMORY")
    # Claims live and die with this connection: a restart gives every key out again.
    connection.execute(
        "CREATE TEMP TABLE claimed_record (sync TEXT, record TEXT, mark INTEGER, PRIMARY KEY (sync, record)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TEMP TABLE claimed_work (repository TEXT, dirt TEXT, name TEXT, mark INTEGER,"
        " PRIMARY KEY (repository, dirt, name)) WITHOUT ROWID"
    )
