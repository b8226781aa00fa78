-- Where the texts of a prompt lie in what is kept of it: span, role and length of each. NULL for answers, hashes and what
-- was stored before.
ALTER TABLE contents ADD COLUMN layout TEXT;
