-- Reports that are kept; `body` is the document as JSON, from which every format is made.
CREATE TABLE reports (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    framework TEXT,
    tenant TEXT,
    title TEXT NOT NULL,
    since_ BIGINT NOT NULL,
    until_ BIGINT NOT NULL,
    made BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX reports_made ON reports (made);

-- The last time each scheduled report was due and by whom it is made: one replica at a time.
CREATE TABLE report_runs (
    schedule TEXT PRIMARY KEY,
    due BIGINT NOT NULL,
    done BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    worker TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);
