-- Who signs in to the admin API. `password` is an argon2id hash in PHC form; `subject` is issuer and subject of an
-- identity provider.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT UNIQUE,
    password TEXT,
    roles TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    last_login BIGINT
);

-- API tokens; the token itself is never here.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    shown TEXT NOT NULL,
    roles TEXT NOT NULL,
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT,
    last_used BIGINT
);
CREATE INDEX tokens_account ON tokens (account, created);

-- Sessions of browsers; the cookie itself is never here.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    address TEXT,
    agent TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account, created);
CREATE INDEX sessions_expires ON sessions (expires);

-- One-time tokens for the first administrator, and whether there is one: the row is locked by who makes it.
CREATE TABLE setup_tokens (
    hash TEXT PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE TABLE setup (
    id BIGINT PRIMARY KEY,
    done BIGINT
);
INSERT INTO setup (id, done) VALUES (1, NULL);
