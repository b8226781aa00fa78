-- Random values that replicas share, such as the key that ids of sessions are hashed with.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
