-- One row per incarnation of a replica. Ids are never used again: AUTOINCREMENT.
CREATE TABLE hanse_worker (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    lease_until REAL NOT NULL,
    started_at REAL NOT NULL
);
CREATE INDEX hanse_worker_lease ON hanse_worker (lease_until);

-- A role that at most one living worker has, for example the outbox relay.
CREATE TABLE hanse_lease (
    name TEXT PRIMARY KEY,
    owner INTEGER NOT NULL,
    fence INTEGER NOT NULL
) WITHOUT ROWID;
