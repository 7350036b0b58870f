-- What identities have earned: of kind 1 users, of kind 2 announce keys. From seeded_gib_hours on in thousandths.
CREATE TABLE standings (
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    tier INTEGER NOT NULL,
    is_falling INTEGER NOT NULL,
    faded_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    proven_at INTEGER,
    barren_secs INTEGER NOT NULL,
    seeded_gib_hours INTEGER NOT NULL,
    seeding_secs INTEGER NOT NULL,
    life_gib_hours INTEGER NOT NULL,
    life_hours INTEGER NOT NULL,
    credited_mib INTEGER NOT NULL,
    claimed_mib INTEGER NOT NULL,
    charged_mib INTEGER NOT NULL,
    snatched INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    owed_mib INTEGER NOT NULL,
    given_mib INTEGER NOT NULL,
    uplink_best INTEGER NOT NULL,
    uplink_share INTEGER NOT NULL,
    uplink_bins INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER users_standing_removed AFTER DELETE ON users BEGIN
    DELETE FROM standings WHERE kind = 1 AND id = OLD.id;
END;
CREATE TRIGGER announce_keys_standing_removed AFTER DELETE ON announce_keys BEGIN
    DELETE FROM standings WHERE kind = 2 AND id = OLD.id;
END;
