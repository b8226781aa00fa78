-- Runs of the attack lab. `touched` is moved on while a run goes on: one that is `running` and was not touched for long has died.
CREATE TABLE lab_runs (
    id TEXT PRIMARY KEY,
    started BIGINT NOT NULL,
    touched BIGINT NOT NULL,
    ended BIGINT,
    state TEXT NOT NULL,
    rule_set TEXT NOT NULL,
    by_ TEXT NOT NULL,
    body TEXT NOT NULL,
    report TEXT,
    junit TEXT,
    html TEXT
);

-- What became of each trial of a run, by its place in the plan.
CREATE TABLE lab_results (
    run TEXT NOT NULL,
    at_ BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, at_)
);
