-- Lists of alerts of one session, key or address are read newest first.
CREATE INDEX alerts_session ON alerts (session, id) WHERE session IS NOT NULL;
CREATE INDEX alerts_key ON alerts (key_, id) WHERE key_ IS NOT NULL;
CREATE INDEX alerts_address ON alerts (address, id) WHERE address IS NOT NULL;
