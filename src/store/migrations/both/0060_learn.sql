-- What was reported: texts that were judged wrongly. `print` stands for the text, so that the same text is one report.
CREATE TABLE learn_reports (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    print TEXT NOT NULL,
    state TEXT NOT NULL,
    reporter TEXT NOT NULL,
    user_ TEXT,
    proposal TEXT,
    made BIGINT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, print)
);
CREATE INDEX learn_reports_reporter ON learn_reports (reporter, made);
CREATE INDEX learn_reports_user ON learn_reports (user_) WHERE user_ IS NOT NULL;

-- Rules learned or taken over: one row for each piece of work, leased by one worker at a time.
CREATE TABLE learn_proposals (
    id TEXT PRIMARY KEY,
    stem TEXT NOT NULL UNIQUE,
    report TEXT,
    state TEXT NOT NULL,
    due BIGINT NOT NULL,
    worker TEXT,
    lease_until BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    since BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX learn_proposals_due ON learn_proposals (due) WHERE state = 'working';
CREATE INDEX learn_proposals_state ON learn_proposals (state);

-- What learned rules found, by replica and minute; the row of the rule '' counts every request that was inspected.
-- `callers` is JSON: prints of the first few about whom a rule alone decided.
CREATE TABLE learn_hits (
    rule TEXT NOT NULL,
    replica TEXT NOT NULL,
    minute BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    alone BIGINT NOT NULL,
    decided BIGINT NOT NULL,
    callers TEXT NOT NULL,
    PRIMARY KEY (rule, replica, minute)
);
CREATE INDEX learn_hits_minute ON learn_hits (minute);

-- Harmless texts of this site, that nothing learned may hit.
CREATE TABLE learn_texts (
    id TEXT PRIMARY KEY,
    print TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    user_ TEXT,
    by_ TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX learn_texts_user ON learn_texts (user_) WHERE user_ IS NOT NULL;

INSERT INTO changes (what, generation) VALUES ('learned', 0);
