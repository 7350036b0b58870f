-- No changes are noted here: whoever asks for a token asks this table.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    scopes INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    CONSTRAINT tokens__name__length CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 200),
    CONSTRAINT tokens__token_hash__length CHECK (length(token_hash) = 32),
    CONSTRAINT tokens__scopes__range CHECK (scopes BETWEEN 1 AND 4294967295),
    CONSTRAINT tokens__expires_at__range CHECK (expires_at >= 0)
) STRICT;
