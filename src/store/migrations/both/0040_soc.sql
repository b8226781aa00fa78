-- The feed: what changed, numbered without holes. Whoever changes anything below holds the row of `feed_head` until it
-- commits; `body` is JSON.
CREATE TABLE feed (
    seq BIGINT PRIMARY KEY,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX feed_id ON feed (id);
CREATE TABLE feed_head (
    one BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO feed_head (one, seq) VALUES (1, 0);

-- Here and below `body` is the whole thing as JSON; the columns repeat what is searched, sorted or guarded.
-- `severity` is 0 (informational) to 4 (critical), `title` in lower case.
CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    family TEXT,
    rule TEXT NOT NULL,
    tenant TEXT,
    user_ TEXT,
    session TEXT,
    key_ TEXT,
    address TEXT,
    state TEXT NOT NULL,
    assignee TEXT,
    incident TEXT,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX alerts_last ON alerts (last_seen);
CREATE INDEX alerts_state ON alerts (state, severity);
CREATE INDEX alerts_user ON alerts (user_) WHERE user_ IS NOT NULL;

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    about TEXT NOT NULL,
    severity BIGINT NOT NULL,
    tenant TEXT,
    user_ TEXT,
    opened BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    state TEXT NOT NULL,
    assignee TEXT,
    merged_into TEXT,
    title TEXT NOT NULL,
    body TEXT NOT NULL
);
-- Two replicas that see the same thing raise one incident.
CREATE UNIQUE INDEX incidents_open ON incidents (rule, about) WHERE state <> 'closed';
CREATE INDEX incidents_state ON incidents (state, updated);
CREATE INDEX incidents_user ON incidents (user_) WHERE user_ IS NOT NULL;

-- Which alerts are evidence of which incident: an alert may be of several.
CREATE TABLE incident_alerts (
    incident TEXT NOT NULL,
    alert TEXT NOT NULL,
    PRIMARY KEY (incident, alert)
);
CREATE INDEX incident_alerts_alert ON incident_alerts (alert);

-- The timelines of incidents and alerts.
CREATE TABLE soc_log (
    about TEXT NOT NULL,
    seq BIGINT NOT NULL,
    time BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (about, seq)
);

-- The analyst's work: one row for an incident, leased by one worker at a time.
CREATE TABLE analyses (
    id TEXT PRIMARY KEY,
    incident TEXT NOT NULL UNIQUE,
    ended BIGINT NOT NULL,
    due BIGINT NOT NULL,
    plan TEXT,
    worker TEXT,
    lease_until BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX analyses_due ON analyses (due) WHERE ended = 0;

CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    incident TEXT,
    proposer TEXT NOT NULL,
    hash TEXT NOT NULL,
    state TEXT NOT NULL,
    made BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX plans_incident ON plans (incident) WHERE incident IS NOT NULL;
CREATE INDEX plans_waiting ON plans (expires) WHERE state IN ('proposed', 'waiting');

-- One word of one account on one plan.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    plan TEXT NOT NULL,
    account TEXT NOT NULL,
    at BIGINT NOT NULL,
    used BIGINT,
    body TEXT NOT NULL,
    UNIQUE (plan, account)
);

-- The keys that approvals are signed with; the private half is sealed.
CREATE TABLE approvers (
    account TEXT PRIMARY KEY,
    public_key TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    made BIGINT NOT NULL
);

-- Steps of plans, each carried out once, leased by one worker at a time.
CREATE TABLE remedies (
    id TEXT PRIMARY KEY,
    once TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,
    incident TEXT,
    state TEXT NOT NULL,
    due BIGINT NOT NULL,
    expires BIGINT,
    worker TEXT,
    lease_until BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX remedies_due ON remedies (due) WHERE state = 'pending';
CREATE INDEX remedies_applied ON remedies (expires) WHERE state = 'applied';
CREATE INDEX remedies_plan ON remedies (plan);
CREATE INDEX remedies_incident ON remedies (incident) WHERE incident IS NOT NULL;

-- Tool calls that wait for a person; `ruling` is JSON.
CREATE TABLE tool_holds (
    id TEXT PRIMARY KEY,
    user_ TEXT,
    expires BIGINT NOT NULL,
    ruling TEXT,
    body TEXT NOT NULL
);
CREATE INDEX tool_holds_expires ON tool_holds (expires);
CREATE INDEX tool_holds_user ON tool_holds (user_) WHERE user_ IS NOT NULL;

-- What can be switched at run time; `value` is JSON.
CREATE TABLE switches (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    until_ BIGINT,
    by_ TEXT NOT NULL,
    at BIGINT NOT NULL
);

INSERT INTO changes (what, generation) VALUES ('rulings', 0), ('switches', 0);
