-- Requests that were not simply let through, numbered without holes in the order of commits: what exports read. Only their ids,
-- so that nothing of a person stands here.
CREATE TABLE export_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    seq BIGINT NOT NULL
);
INSERT INTO export_head (one, seq) VALUES (1, 0);
CREATE TABLE export_records (
    seq BIGINT PRIMARY KEY,
    time BIGINT NOT NULL,
    request TEXT NOT NULL
);
CREATE INDEX export_records_time ON export_records (time);

-- One row for each sink: the last entry of each source that is done with, and which replica works on it.
CREATE TABLE export_sinks (
    name TEXT PRIMARY KEY,
    feed BIGINT NOT NULL,
    audit BIGINT NOT NULL,
    records BIGINT NOT NULL,
    worker TEXT,
    lease_until BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    delivered_at BIGINT,
    problem TEXT,
    problem_at BIGINT
);

-- What a receiver refused for good. `again`: somebody wants it tried once more.
CREATE TABLE export_dead (
    id TEXT PRIMARY KEY,
    sink TEXT NOT NULL,
    source TEXT NOT NULL,
    seq BIGINT NOT NULL,
    user_ TEXT,
    made BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    again BIGINT NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (sink, source, seq)
);
CREATE INDEX export_dead_made ON export_dead (made);
CREATE INDEX export_dead_user ON export_dead (user_) WHERE user_ IS NOT NULL;
