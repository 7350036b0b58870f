CREATE TABLE torrent_files (
    torrent_id INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;
CREATE TRIGGER torrents_file_removed AFTER DELETE ON torrents BEGIN DELETE FROM torrent_files WHERE torrent_id = OLD.id; END;
