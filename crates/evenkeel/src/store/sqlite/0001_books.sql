CREATE TABLE classes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    upload_percent INTEGER NOT NULL DEFAULT 100,
    download_percent INTEGER NOT NULL DEFAULT 100,
    clients_per_torrent_max INTEGER,
    addresses_max INTEGER,
    CONSTRAINT classes__name__length CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 200),
    CONSTRAINT classes__upload_percent__range CHECK (upload_percent BETWEEN 0 AND 1000),
    CONSTRAINT classes__download_percent__range CHECK (download_percent BETWEEN 0 AND 1000),
    CONSTRAINT classes__clients_per_torrent_max__range CHECK (clients_per_torrent_max BETWEEN 1 AND 1000000),
    CONSTRAINT classes__addresses_max__range CHECK (addresses_max BETWEEN 1 AND 1000000)
) STRICT;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    passkey_hash BLOB NOT NULL UNIQUE,
    previous_passkey_hash BLOB,
    previous_passkey_until INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    class_id INTEGER,
    upload_percent INTEGER,
    download_percent INTEGER,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    CONSTRAINT users__id__range CHECK (id BETWEEN 1 AND 4294967295),
    CONSTRAINT users__name__length CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 200),
    CONSTRAINT users__passkey_hash__length CHECK (length(passkey_hash) = 32),
    CONSTRAINT users__previous_passkey_hash__length CHECK (length(previous_passkey_hash) = 32),
    CONSTRAINT users__state__range CHECK (state BETWEEN 0 AND 3),
    CONSTRAINT users__upload_percent__range CHECK (upload_percent BETWEEN 0 AND 1000),
    CONSTRAINT users__download_percent__range CHECK (download_percent BETWEEN 0 AND 1000)
) STRICT;

CREATE TABLE torrents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    info_hash_v1 BLOB UNIQUE,
    info_hash_v2 BLOB UNIQUE,
    name TEXT NOT NULL,
    size_bytes INTEGER,
    state INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    upload_percent INTEGER NOT NULL DEFAULT 100,
    download_percent INTEGER NOT NULL DEFAULT 100,
    freeleech_until INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    CONSTRAINT torrents__id__range CHECK (id BETWEEN 1 AND 4294967295),
    CONSTRAINT torrents__info_hash_v1__length CHECK (length(info_hash_v1) = 20),
    CONSTRAINT torrents__info_hash_v2__length CHECK (length(info_hash_v2) = 32),
    CONSTRAINT torrents__info_hash_v1__missing CHECK (info_hash_v1 IS NOT NULL OR info_hash_v2 IS NOT NULL),
    CONSTRAINT torrents__name__length CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 1000),
    CONSTRAINT torrents__size_bytes__range CHECK (size_bytes >= 0),
    CONSTRAINT torrents__state__range CHECK (state BETWEEN 0 AND 2),
    CONSTRAINT torrents__reason__length CHECK (length(CAST(reason AS BLOB)) <= 100),
    CONSTRAINT torrents__upload_percent__range CHECK (upload_percent BETWEEN 0 AND 1000),
    CONSTRAINT torrents__download_percent__range CHECK (download_percent BETWEEN 0 AND 1000)
) STRICT;

CREATE TABLE announce_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key_hash BLOB NOT NULL UNIQUE,
    note TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    used_at INTEGER NOT NULL DEFAULT (unixepoch()),
    CONSTRAINT announce_keys__key_hash__length CHECK (length(key_hash) = 32),
    CONSTRAINT announce_keys__note__length CHECK (length(CAST(note AS BLOB)) <= 200)
) STRICT;
CREATE INDEX announce_keys_used ON announce_keys (used_at);

CREATE TABLE listed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    info_hash BLOB NOT NULL UNIQUE,
    list INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    CONSTRAINT listed__info_hash__length CHECK (length(info_hash) = 20),
    CONSTRAINT listed__list__range CHECK (list BETWEEN 0 AND 1),
    CONSTRAINT listed__note__length CHECK (length(CAST(note AS BLOB)) <= 200)
) STRICT;

CREATE TABLE settings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    CONSTRAINT settings__name__length CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 200),
    CONSTRAINT settings__value__length CHECK (length(CAST(value AS BLOB)) <= 1000)
) STRICT;

-- Which rows have changed, whoever changed them: 1 users, 2 classes, 3 torrents, 4 announce_keys, 5 listed, 6 settings.
CREATE TABLE change_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    row_id INTEGER NOT NULL,
    at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT;

CREATE TRIGGER users_added AFTER INSERT ON users BEGIN INSERT INTO change_log (kind, row_id) VALUES (1, NEW.id); END;
CREATE TRIGGER users_changed AFTER UPDATE ON users BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (1, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 1, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER classes_added AFTER INSERT ON classes BEGIN INSERT INTO change_log (kind, row_id) VALUES (2, NEW.id); END;
CREATE TRIGGER classes_changed AFTER UPDATE ON classes BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (2, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 2, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER classes_removed AFTER DELETE ON classes BEGIN INSERT INTO change_log (kind, row_id) VALUES (2, OLD.id); END;
CREATE TRIGGER torrents_added AFTER INSERT ON torrents BEGIN INSERT INTO change_log (kind, row_id) VALUES (3, NEW.id); END;
CREATE TRIGGER torrents_changed AFTER UPDATE ON torrents BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (3, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 3, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER torrents_removed AFTER DELETE ON torrents BEGIN INSERT INTO change_log (kind, row_id) VALUES (3, OLD.id); END;
CREATE TRIGGER announce_keys_added AFTER INSERT ON announce_keys BEGIN INSERT INTO change_log (kind, row_id) VALUES (4, NEW.id); END;
-- Not when used_at changes: that is the tracker itself, all the time.
CREATE TRIGGER announce_keys_changed AFTER UPDATE OF id, key_hash, note ON announce_keys BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (4, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 4, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER announce_keys_removed AFTER DELETE ON announce_keys BEGIN INSERT INTO change_log (kind, row_id) VALUES (4, OLD.id); END;
CREATE TRIGGER listed_added AFTER INSERT ON listed BEGIN INSERT INTO change_log (kind, row_id) VALUES (5, NEW.id); END;
CREATE TRIGGER listed_changed AFTER UPDATE ON listed BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (5, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 5, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER listed_removed AFTER DELETE ON listed BEGIN INSERT INTO change_log (kind, row_id) VALUES (5, OLD.id); END;
CREATE TRIGGER settings_added AFTER INSERT ON settings BEGIN INSERT INTO change_log (kind, row_id) VALUES (6, NEW.id); END;
CREATE TRIGGER settings_changed AFTER UPDATE ON settings BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (6, NEW.id);
    INSERT INTO change_log (kind, row_id) SELECT 6, OLD.id WHERE OLD.id <> NEW.id;
END;
CREATE TRIGGER settings_removed AFTER DELETE ON settings BEGIN INSERT INTO change_log (kind, row_id) VALUES (6, OLD.id); END;

-- What each node has booked last.
CREATE TABLE nodes (
    node INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE books (
    user_id INTEGER NOT NULL,
    torrent_id INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    credited INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    seeded_secs INTEGER NOT NULL,
    leeched_secs INTEGER NOT NULL,
    snatched_at INTEGER,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, torrent_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_totals (
    user_id INTEGER PRIMARY KEY,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    credited INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    seeded_secs INTEGER NOT NULL,
    leeched_secs INTEGER NOT NULL,
    snatches INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    user_id INTEGER NOT NULL,
    torrent_id INTEGER NOT NULL,
    session INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    lacking INTEGER,
    run INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    is_stopped INTEGER NOT NULL,
    PRIMARY KEY (user_id, torrent_id, session)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER users_removed AFTER DELETE ON users BEGIN
    INSERT INTO change_log (kind, row_id) VALUES (1, OLD.id);
    DELETE FROM books WHERE user_id = OLD.id;
    DELETE FROM sessions WHERE user_id = OLD.id;
    DELETE FROM user_totals WHERE user_id = OLD.id;
END;

CREATE TABLE torrent_stats (
    torrent_id INTEGER PRIMARY KEY,
    seeders INTEGER NOT NULL,
    leechers INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    seed_seen_at INTEGER
) STRICT;

CREATE TABLE torrent_hours (
    torrent_id INTEGER NOT NULL,
    from_secs INTEGER NOT NULL,
    seeders INTEGER NOT NULL,
    leechers INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    PRIMARY KEY (torrent_id, from_secs)
) STRICT, WITHOUT ROWID;
CREATE INDEX torrent_hours_from ON torrent_hours (from_secs);

CREATE TABLE torrent_days (
    torrent_id INTEGER NOT NULL,
    from_secs INTEGER NOT NULL,
    seeders INTEGER NOT NULL,
    leechers INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    PRIMARY KEY (torrent_id, from_secs)
) STRICT, WITHOUT ROWID;
