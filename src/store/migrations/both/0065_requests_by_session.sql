-- The requests of one conversation are read newest first.
CREATE INDEX requests_session ON requests (session, time) WHERE session IS NOT NULL;
