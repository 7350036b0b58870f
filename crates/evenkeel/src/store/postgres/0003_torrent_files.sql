-- No foreign key: a table that is referred to cannot be emptied at once.
CREATE TABLE torrent_files (
    torrent_id bigint PRIMARY KEY,
    content bytea NOT NULL
);
CREATE FUNCTION evenkeel_forget_torrent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM torrent_files WHERE torrent_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER torrents_removed AFTER DELETE ON torrents FOR EACH ROW EXECUTE FUNCTION evenkeel_forget_torrent();
