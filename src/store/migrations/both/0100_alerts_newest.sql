-- The newest alerts of a state, without sorting all of them.
CREATE INDEX alerts_state_id ON alerts (state, id);
