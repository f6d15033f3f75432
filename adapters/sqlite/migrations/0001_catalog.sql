-- The catalog as first released. Never edited: a later change of the schema is a later migration.
-- Instants are two integers, seconds and nanoseconds as jiff counts them: exact over jiff's whole range, and they sort.
-- Ids are UUIDs in lower-case hyphenated text, which sorts as the UUID does.

-- "volS": tells our file from any other SQLite database.
PRAGMA application_id = 0x766f6c53;

CREATE TABLE workloads (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    source     TEXT    NOT NULL, -- JSON
    selector   TEXT    NOT NULL, -- JSON
    created_s  INTEGER NOT NULL,
    created_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE workload_volumes (
    workload TEXT    NOT NULL REFERENCES workloads (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    target   TEXT    NOT NULL,
    path     BLOB    NOT NULL, -- the bytes of the path: a path need not be UTF-8
    PRIMARY KEY (workload, position)
) STRICT, WITHOUT ROWID;

-- No foreign key: a snapshot may be recorded after its workload is gone.
CREATE TABLE snapshots (
    id         TEXT    NOT NULL PRIMARY KEY,
    workload   TEXT    NOT NULL,
    created_s  INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    body       TEXT    NOT NULL -- JSON: manifest, summary, time of the last verification
) STRICT;

CREATE INDEX snapshots_by_age ON snapshots (created_s, created_ns, id);
CREATE INDEX snapshots_of_workload ON snapshots (workload, created_s, created_ns, id);

-- No foreign key: events outlive their workload.
CREATE TABLE events (
    id            TEXT    NOT NULL PRIMARY KEY,
    at_s          INTEGER NOT NULL,
    at_ns         INTEGER NOT NULL,
    workload      TEXT    NOT NULL,
    workload_name TEXT    NOT NULL,
    kind          TEXT    NOT NULL, -- JSON
    outcome       TEXT    NOT NULL,
    detail        TEXT    NOT NULL  -- JSON
) STRICT;

CREATE INDEX events_by_age ON events (at_s, at_ns, id);
CREATE INDEX events_of_workload ON events (workload, at_s, at_ns, id);

CREATE TABLE settings (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
