-- What several processes that answer requests share: tokens and what was used up. All of it is over within minutes.
--
-- Unlogged: a write of it waits for no disk, no backup or replica has it, and after a crash of the server all of these
-- tables are empty at once. So access_born says since when they remember, and nothing that was signed before counts.

CREATE UNLOGGED TABLE ledger.access_born (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at_ms    bigint NOT NULL
);

-- Tokens by their hash, and what finds whose they are: the key's thumbprint, and the log that it named, if any.
CREATE UNLOGGED TABLE ledger.access_tokens (
    hash     bytea   PRIMARY KEY CHECK (octet_length(hash) = 32),
    kid      text    NOT NULL CHECK (octet_length(kid) BETWEEN 1 AND 128),
    tenant   text    CHECK (octet_length(tenant) <= 512),
    bound    boolean NOT NULL,
    until_ms bigint  NOT NULL
);
CREATE INDEX access_tokens_until ON ledger.access_tokens (until_ms);

-- Names (hashes) of assertions and proofs that were used, until they could count no more.
CREATE UNLOGGED TABLE ledger.access_used (
    name     bytea  PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 32),
    until_ms bigint NOT NULL
);
CREATE INDEX access_used_until ON ledger.access_used (until_ms);

GRANT SELECT, INSERT ON ledger.access_born TO ledger_cell;
GRANT SELECT, INSERT, DELETE ON ledger.access_tokens, ledger.access_used TO ledger_cell;
