-- What identities have earned: of kind 1 users, of kind 2 announce keys. From seeded_gib_hours on in thousandths.
CREATE TABLE standings (
    kind bigint NOT NULL,
    id bigint NOT NULL,
    at bigint NOT NULL,
    tier bigint NOT NULL,
    is_falling bigint NOT NULL,
    faded_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    proven_at bigint,
    barren_secs bigint NOT NULL,
    seeded_gib_hours bigint NOT NULL,
    seeding_secs bigint NOT NULL,
    life_gib_hours bigint NOT NULL,
    life_hours bigint NOT NULL,
    credited_mib bigint NOT NULL,
    claimed_mib bigint NOT NULL,
    charged_mib bigint NOT NULL,
    snatched bigint NOT NULL,
    kept bigint NOT NULL,
    owed_mib bigint NOT NULL,
    given_mib bigint NOT NULL,
    uplink_best bigint NOT NULL,
    uplink_share bigint NOT NULL,
    uplink_bins bigint NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE FUNCTION evenkeel_forget_standing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM standings WHERE kind = TG_ARGV[0]::bigint AND id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER users_standing_removed AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION evenkeel_forget_standing(1);
CREATE TRIGGER announce_keys_standing_removed AFTER DELETE ON announce_keys FOR EACH ROW EXECUTE FUNCTION evenkeel_forget_standing(2);
