-- What each writer has committed, so that a batch that is tried again is not counted twice.
CREATE TABLE writers (
    id TEXT PRIMARY KEY,
    last_batch BIGINT NOT NULL,
    time BIGINT NOT NULL
);

-- One row per request; `record` is the whole record as JSON.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    time BIGINT NOT NULL,
    tenant TEXT,
    team TEXT,
    user_ TEXT,
    key_ TEXT,
    session TEXT,
    agent TEXT,
    address TEXT,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    dialect TEXT,
    model TEXT,
    upstream TEXT,
    outcome TEXT NOT NULL,
    reason TEXT,
    status BIGINT NOT NULL,
    decision TEXT NOT NULL,
    risk REAL NOT NULL,
    input_tokens BIGINT,
    cached_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    estimated BIGINT NOT NULL,
    cost BIGINT,
    policy TEXT,
    order_ TEXT,
    stream BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX requests_time ON requests (time);
CREATE INDEX requests_user ON requests (user_, time) WHERE user_ IS NOT NULL;

-- The findings of both directions, in the order of the verdict.
CREATE TABLE findings (
    request TEXT NOT NULL,
    number BIGINT NOT NULL,
    time BIGINT NOT NULL,
    direction TEXT NOT NULL,
    rule TEXT NOT NULL,
    family TEXT NOT NULL,
    severity TEXT NOT NULL,
    score REAL NOT NULL,
    action TEXT NOT NULL,
    span BIGINT,
    start_ BIGINT,
    end_ BIGINT,
    threats TEXT NOT NULL,
    PRIMARY KEY (request, number)
);
CREATE INDEX findings_time ON findings (time);

-- Content, as far as the privacy mode keeps any.
CREATE TABLE contents (
    request TEXT NOT NULL,
    direction TEXT NOT NULL,
    time BIGINT NOT NULL,
    user_ TEXT,
    mode TEXT NOT NULL,
    body TEXT,
    sealed BLOB,
    key_id TEXT,
    PRIMARY KEY (request, direction)
);
CREATE INDEX contents_time ON contents (time);
CREATE INDEX contents_user ON contents (user_) WHERE user_ IS NOT NULL;

-- The ledger: what was used in an hour (UTC), by everything it can be asked by. Absent names are ''.
CREATE TABLE spend_hourly (
    bucket BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    team TEXT NOT NULL,
    user_ TEXT NOT NULL,
    key_ TEXT NOT NULL,
    model TEXT NOT NULL,
    agent TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    PRIMARY KEY (bucket, tenant, team, user_, key_, model, agent)
) WITHOUT ROWID;
CREATE INDEX spend_hourly_user ON spend_hourly (user_) WHERE user_ <> '';

-- The same by day and without persons: small, for the questions asked most.
CREATE TABLE spend_daily (
    bucket BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    team TEXT NOT NULL,
    model TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    PRIMARY KEY (bucket, tenant, team, model)
) WITHOUT ROWID;

-- Virtual keys; the key itself is never here.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    tenant TEXT,
    team TEXT,
    user_ TEXT,
    agent TEXT,
    models TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created BIGINT NOT NULL,
    not_before BIGINT,
    expires BIGINT,
    revoked BIGINT,
    rotated_from TEXT,
    note TEXT NOT NULL
);
CREATE INDEX keys_user ON keys (user_) WHERE user_ IS NOT NULL;

-- Standing orders; `subject` and `measure` are JSON.
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    measure TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made BIGINT NOT NULL,
    expires BIGINT,
    lifted BIGINT,
    lifted_by TEXT
);
CREATE INDEX orders_live ON orders (expires) WHERE lifted IS NULL;

-- Counts the changes of what replicas hold in memory.
CREATE TABLE changes (
    what TEXT PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO changes (what, generation) VALUES ('keys', 0), ('orders', 0), ('accounts', 0);

-- Whom a provider's object (a conversation, a file, a batch) was issued to.
CREATE TABLE issued (
    hash TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    user_ TEXT,
    kind TEXT NOT NULL,
    time BIGINT NOT NULL
);
CREATE INDEX issued_time ON issued (time);
CREATE INDEX issued_user ON issued (user_) WHERE user_ IS NOT NULL;

-- What is told besides requests: alerts and other events; `body` is JSON.
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    request TEXT,
    user_ TEXT,
    body TEXT NOT NULL
);
CREATE INDEX events_time ON events (time);
CREATE INDEX events_user ON events (user_) WHERE user_ IS NOT NULL;
