-- state: 0 running, 1 undoing, 3 done, 4 undone, 5 stuck (machine.py). Below 3 is live.
CREATE TABLE hanse_saga (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    owner INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,
    due REAL,
    attempt INTEGER NOT NULL DEFAULT 0,
    trouble TEXT,
    error TEXT,
    input TEXT NOT NULL,
    correlation_id TEXT NOT NULL DEFAULT '',
    traceparent TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX hanse_saga_owner ON hanse_saga (owner) WHERE state < 3;
CREATE INDEX hanse_saga_due ON hanse_saga (due) WHERE state < 3 AND due IS NOT NULL;
CREATE INDEX hanse_saga_ended ON hanse_saga (updated_at) WHERE state >= 3;
CREATE INDEX hanse_saga_stuck ON hanse_saga (updated_at) WHERE state = 5;

-- kind: 0 done, 1 undone, 2 failed, 3 failed in doubt, 4 compensation parked (machine.py).
CREATE TABLE hanse_saga_step (
    saga_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    fence INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    result TEXT,
    error TEXT,
    started_at REAL NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (saga_id, step, kind)
) WITHOUT ROWID;
