-- The audit trail: records in a hash chain, what they commit to and can be taken away, and signed checkpoints.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    request TEXT,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX audit_kind ON audit (kind, seq);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_time ON audit (time);

CREATE TABLE audit_personal (
    seq BIGINT PRIMARY KEY NOT NULL,
    salt BLOB NOT NULL,
    body TEXT NOT NULL,
    subject TEXT
);
CREATE INDEX audit_personal_subject ON audit_personal (subject);

CREATE TABLE audit_checkpoints (
    seq BIGINT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- One row: where the chain ends, and where what is left of it in this table begins.
CREATE TABLE audit_head (
    one BIGINT PRIMARY KEY NOT NULL CHECK (one = 1),
    store TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash BLOB NOT NULL,
    archived BIGINT NOT NULL,
    archived_hash BLOB NOT NULL,
    checkpoint BIGINT NOT NULL,
    checkpoint_hash BLOB NOT NULL,
    checkpoint_time BIGINT NOT NULL
);
INSERT INTO audit_head (one, store, seq, hash, archived, archived_hash, checkpoint, checkpoint_hash, checkpoint_time)
VALUES (1, '', 0, zeroblob(32), 0, zeroblob(32), 0, zeroblob(32), 0);
