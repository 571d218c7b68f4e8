CREATE TABLE hanse_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    attributes TEXT NOT NULL,
    data BLOB NOT NULL,
    created_at REAL NOT NULL
);

-- What the transport refuses for good; kept for a person, out of the way of the others.
CREATE TABLE hanse_outbox_refused (
    id INTEGER PRIMARY KEY,
    attributes TEXT NOT NULL,
    data BLOB NOT NULL,
    created_at REAL NOT NULL,
    error TEXT NOT NULL
);

CREATE TABLE hanse_inbox (
    consumer TEXT NOT NULL,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (consumer, message_id)
) WITHOUT ROWID;
CREATE INDEX hanse_inbox_at ON hanse_inbox (at);

CREATE TABLE hanse_idempotency (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER,
    headers TEXT,
    body BLOB,
    at REAL NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX hanse_idempotency_at ON hanse_idempotency (at);
