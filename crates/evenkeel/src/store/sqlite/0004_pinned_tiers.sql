ALTER TABLE users ADD COLUMN pinned_tier INTEGER
    CONSTRAINT users__pinned_tier__range CHECK (pinned_tier BETWEEN 0 AND 3);
