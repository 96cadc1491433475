"""
The schema of the state file, as numbered steps that are never edited after a release.

A step and the record of it commit together, so a crash between two of them loses nothing (reliability.md ST09).
Moments are whole microseconds since 1970 in UTC; `body` is JSON of `codec`; other JSON is checked by the table.
"""

from sqlite_utils import Database, Migrations

from syncd.store.columns import Connection

# "syncd" as a number, so that another program's file is not taken for ours.
APPLICATION_ID = 0x53594E43

MIGRATIONS = Migrations("syncd")
NAMES = ("m001_first",)

_INBOX = """
CREATE TABLE inbox (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint TEXT NOT NULL,
  request TEXT NOT NULL,
  digest BLOB NOT NULL,
  received_at INTEGER NOT NULL,
  headers TEXT NOT NULL CHECK (json_valid(headers)),
  body BLOB NOT NULL,
  disposition TEXT,
  reason TEXT NOT NULL DEFAULT '',
  UNIQUE (endpoint, request, digest)
) STRICT;
CREATE INDEX inbox_waiting ON inbox (sequence) WHERE disposition IS NULL;
CREATE INDEX inbox_quarantined ON inbox (disposition, sequence) WHERE disposition = 'quarantined';
CREATE INDEX inbox_by_age ON inbox (received_at) WHERE disposition IS NOT NULL;
"""

_DIRTY = """
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('mark', 0);
CREATE TABLE dirty_record (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  lane INTEGER NOT NULL,
  mark INTEGER NOT NULL,
  since INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  waiting INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (sync, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX dirty_record_by_lane ON dirty_record (sync, lane, since, record, not_before) WHERE parked = 0;
CREATE INDEX dirty_record_by_time ON dirty_record (sync, not_before) WHERE parked = 0;
CREATE INDEX dirty_record_by_age ON dirty_record (sync, since) WHERE parked = 0 AND waiting = 0;
CREATE INDEX dirty_record_parked ON dirty_record (sync, record) WHERE parked = 1;
CREATE TABLE dirty_work (
  repository TEXT NOT NULL,
  dirt TEXT NOT NULL,
  name TEXT NOT NULL,
  mark INTEGER NOT NULL,
  since INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  happened_at INTEGER,
  error TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (repository, dirt, name)
) STRICT, WITHOUT ROWID;
"""

_WORK = """
CREATE TABLE repository (
  id TEXT PRIMARY KEY,
  body TEXT NOT NULL CHECK (json_valid(body)),
  listed_at INTEGER,
  trouble TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE pull_request (
  repository TEXT NOT NULL,
  number INTEGER NOT NULL,
  source_branch TEXT NOT NULL,
  head TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (repository, number)
) STRICT;
CREATE INDEX pull_request_by_branch ON pull_request (repository, source_branch);
CREATE INDEX pull_request_by_head ON pull_request (repository, head);
CREATE TABLE branch (
  repository TEXT NOT NULL,
  name TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (repository, name)
) STRICT;
CREATE TABLE linked_commit (
  repository TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  hash TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (repository, kind, name, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE build (
  repository TEXT NOT NULL,
  head TEXT NOT NULL,
  hash TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (repository, head, hash, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE deployment (
  repository TEXT NOT NULL,
  id TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (repository, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (
  repository TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('pr', 'branch', 'deployment')),
  name TEXT NOT NULL,
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (repository, kind, name, sync, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_by_record ON evidence (sync, record);
"""

_RECORDS = """
CREATE TABLE record (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  seen TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  status TEXT,
  linked INTEGER NOT NULL,
  absent INTEGER NOT NULL DEFAULT 0,
  parked TEXT NOT NULL DEFAULT '',
  parked_for TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (sync, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_by_state ON record (sync, state, linked);
CREATE INDEX record_linked ON record (sync, record) WHERE linked = 1;
CREATE INDEX record_waiting ON record (sync, record) WHERE seen = '';
CREATE INDEX record_parked ON record (sync, record) WHERE parked <> '';
CREATE TABLE link (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  repository TEXT NOT NULL,
  number INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  PRIMARY KEY (sync, record, repository, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_pull_request ON link (repository, number);
CREATE TABLE agreed (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  repository TEXT NOT NULL,
  number INTEGER NOT NULL,
  value TEXT NOT NULL CHECK (json_valid(value)),
  PRIMARY KEY (sync, record, field, repository, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE tolerated (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  repository TEXT NOT NULL,
  number INTEGER NOT NULL,
  value TEXT NOT NULL CHECK (json_valid(value)),
  PRIMARY KEY (sync, record, field, repository, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE edited (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  airtable_at INTEGER NOT NULL,
  PRIMARY KEY (sync, record, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE made (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  rule TEXT NOT NULL,
  object TEXT NOT NULL,
  intended INTEGER NOT NULL,
  PRIMARY KEY (sync, record, rule)
) STRICT, WITHOUT ROWID;
CREATE TABLE conflict (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  repository TEXT NOT NULL,
  number INTEGER NOT NULL,
  airtable TEXT NOT NULL CHECK (json_valid(airtable)),
  bitbucket TEXT NOT NULL CHECK (json_valid(bitbucket)),
  what TEXT NOT NULL,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  winner TEXT,
  PRIMARY KEY (sync, record, field, repository, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE hold (
  sync TEXT NOT NULL,
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  reason TEXT NOT NULL,
  until INTEGER,
  PRIMARY KEY (sync, record, field)
) STRICT, WITHOUT ROWID;
"""

_JOURNAL = """
CREATE TABLE run (
  id TEXT PRIMARY KEY,
  sync TEXT NOT NULL,
  spec_hash TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  changes INTEGER NOT NULL,
  clears INTEGER NOT NULL,
  ended_at INTEGER,
  by TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_sync ON run (sync, started_at);
CREATE INDEX run_by_age ON run (started_at);
CREATE TABLE operation (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  sync TEXT NOT NULL,
  run TEXT NOT NULL,
  side TEXT NOT NULL,
  kind TEXT NOT NULL,
  request TEXT NOT NULL CHECK (json_valid(request)),
  at INTEGER NOT NULL,
  sent_at INTEGER,
  looked_at INTEGER,
  ended_at INTEGER,
  state TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX operation_open ON operation (sync, sequence) WHERE state IN ('planned', 'sent', 'unknown');
CREATE INDEX operation_by_age ON operation (at);
CREATE INDEX operation_by_run ON operation (run);
CREATE TABLE journal (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  sync TEXT NOT NULL,
  run TEXT NOT NULL,
  operation TEXT NOT NULL,
  spec_hash TEXT NOT NULL,
  record TEXT NOT NULL,
  side TEXT NOT NULL,
  kind TEXT NOT NULL,
  object TEXT NOT NULL,
  field TEXT NOT NULL,
  place TEXT NOT NULL,
  before TEXT NOT NULL,
  after TEXT NOT NULL,
  owner TEXT NOT NULL,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '',
  ended_at INTEGER,
  race_of INTEGER UNIQUE
) STRICT;
CREATE INDEX journal_by_operation ON journal (operation);
CREATE INDEX journal_by_record ON journal (record, sequence);
CREATE INDEX journal_by_run ON journal (run, sequence);
CREATE INDEX journal_by_sync ON journal (sync, sequence);
CREATE INDEX journal_by_time ON journal (sync, at);
CREATE INDEX journal_by_age ON journal (at);
"""

_REST = """
CREATE TABLE accepted (
  sync TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (sync, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE TABLE accepted_once (sync TEXT NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (sync, plan)) STRICT, WITHOUT ROWID;
CREATE TABLE endpoint (
  id TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  connection TEXT NOT NULL,
  subject TEXT NOT NULL,
  hook TEXT NOT NULL,
  active INTEGER NOT NULL,
  cursor INTEGER NOT NULL,
  expires INTEGER,
  last_delivery INTEGER,
  created_at INTEGER,
  pinged INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE endpoint_secret (
  endpoint TEXT PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE,
  secret TEXT NOT NULL
) STRICT;
CREATE TABLE text (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (budget TEXT PRIMARY KEY, body TEXT NOT NULL CHECK (json_valid(body))) STRICT, WITHOUT ROWID;
"""


@MIGRATIONS()
def m001_first(db: Database) -> None:
    """Everything that the first release remembers."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for script in (_INBOX, _DIRTY, _WORK, _RECORDS, _JOURNAL, _REST):
        # One by one: `executescript` would end the transaction that also records this step.
        for statement in script.split(";"):
            if statement.strip():
                db.execute(statement)


def applied(connection: Connection) -> tuple[str, ...]:
    """The names of the steps that this file has, oldest first; none in an empty file."""
    table = Migrations.migrations_table
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = :table", {"table": table}).fetchone():
        return ()
    rows = connection.execute(
        f"SELECT name FROM {table} WHERE migration_set = :name ORDER BY id", {"name": MIGRATIONS.name}
    )
    return tuple(name for (name,) in rows.fetchall())


def apply(connection: Connection) -> None:
    """Bring the file up to this program's schema. The caller holds the state's lock."""
    if applied(connection) != NAMES:
        MIGRATIONS.apply(Database(connection, execute_plugins=False, strict=True))
