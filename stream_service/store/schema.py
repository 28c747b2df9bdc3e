"""The stream database's tables, as numbered steps. A step that was released is never edited: add the next one.

    sources ──< runs                       one row a refresh
    sources ──< entries >── streams        an entry of a source's list is a stream; the stream is permanent
    streams >── channels                   and belongs to a channel; the channel's id is never given again
    lineups ──< lineup_channels >── channels   with the channel's permanent number in that lineup

A list is staged: its entries are written under the source's next generation, many small transactions that nobody sees;
one tiny transaction moves `sources.generation`, and what the old generation held is swept afterwards. Killed at any
moment, either list is whole.
"""

APPLICATION_ID = 0x41537472  # "AStr"

_FIRST = """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    url TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1,
    schedule TEXT,                                -- cron expression; NULL: the daily default
    connection_limit INTEGER,                     -- connections the provider allows at a time; NULL: not known
    user_agent TEXT,
    headers TEXT NOT NULL DEFAULT '{}',
    timeouts TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,        -- of the entries that are visible
    deleted INTEGER NOT NULL DEFAULT 0,           -- hidden at once, purged by the keeper
    etag TEXT, last_modified TEXT, digest TEXT,   -- of the last good list
    good_entries INTEGER NOT NULL DEFAULT 0,
    good_skipped INTEGER NOT NULL DEFAULT 0,
    private INTEGER NOT NULL DEFAULT 0,           -- its address is private, so what it names may be
    guide_urls TEXT NOT NULL DEFAULT '[]'
);
CREATE UNIQUE INDEX sources_name ON sources (name COLLATE NOCASE) WHERE deleted = 0;

CREATE TABLE channels (
    id TEXT PRIMARY KEY,                          -- [A-Za-z0-9._-]; a row is never deleted, so an id is never reused
    folded TEXT NOT NULL UNIQUE,                  -- the id without case
    xtream_id INTEGER NOT NULL UNIQUE,            -- the whole number Xtream clients know it by; never given again
    created_at INTEGER NOT NULL,
    present INTEGER NOT NULL DEFAULT 0,           -- some enabled source has a stream for it
    tvg_id TEXT NOT NULL DEFAULT '',              -- its stream's texts, as last seen
    name TEXT NOT NULL DEFAULT '',
    channel_group TEXT NOT NULL DEFAULT '',
    logo TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    first_seen INTEGER NOT NULL,
    vanished_at INTEGER,                          -- NULL while its entry stands in the source's list
    channel_id TEXT REFERENCES channels (id),
    provider_id TEXT NOT NULL DEFAULT '',         -- what it was known by when it vanished
    tvg_id TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    channel_group TEXT NOT NULL DEFAULT '',
    url TEXT NOT NULL DEFAULT ''
);
CREATE INDEX streams_source ON streams (source_id, vanished_at);
CREATE INDEX streams_channel ON streams (channel_id);

CREATE TABLE entries (
    source_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL,
    stream_id INTEGER,                            -- NULL while staged and not yet known
    fingerprint INTEGER NOT NULL,                 -- of tvg-id, name, group and address
    nth INTEGER NOT NULL DEFAULT 0,               -- among entries of the same fingerprint
    provider_id TEXT NOT NULL,
    tvg_id TEXT NOT NULL,
    tvg_name TEXT NOT NULL,
    name TEXT NOT NULL,
    channel_group TEXT NOT NULL,
    number TEXT NOT NULL,
    logo TEXT NOT NULL,
    url TEXT NOT NULL,
    headers TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (source_id, generation, position)
) WITHOUT ROWID;
CREATE INDEX entries_fingerprint ON entries (source_id, generation, fingerprint, nth);
CREATE INDEX entries_stream ON entries (stream_id, source_id, generation);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    streams INTEGER NOT NULL DEFAULT 0,
    entries_skipped INTEGER NOT NULL DEFAULT 0,
    error_message TEXT,
    reason TEXT NOT NULL,                         -- manual, schedule, catch-up, retry, command
    attempt INTEGER NOT NULL DEFAULT 0,           -- of a scheduled run that failed: 1, 2, 3
    not_before INTEGER NOT NULL DEFAULT 0,
    force INTEGER NOT NULL DEFAULT 0,
    stage TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_source ON runs (source_id, id);
CREATE INDEX runs_open ON runs (status) WHERE status IN ('queued', 'running');

CREATE TABLE lineups (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    built_at INTEGER,
    delivery TEXT NOT NULL DEFAULT 'relay',       -- how viewers get its channels: relay, redirect
    digest TEXT NOT NULL DEFAULT '',              -- of what was last published
    channels INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 1              -- something it is made of changed since it was built
) WITHOUT ROWID;

CREATE TABLE lineup_channels (
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    number TEXT NOT NULL,                         -- permanent: the row stays when the channel is away
    major INTEGER NOT NULL,
    minor INTEGER NOT NULL,
    present INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT '',                -- as the lineup shows it
    channel_group TEXT NOT NULL DEFAULT '',
    logo TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (lineup, channel_id),
    UNIQUE (lineup, number)
) WITHOUT ROWID;
CREATE INDEX lineup_channels_order ON lineup_channels (lineup, major, minor, channel_id) WHERE present = 1;

CREATE TABLE profiles (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    options TEXT NOT NULL,                        -- JSON: see domain/profiles.py
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO lineups (name, created_at) VALUES ('default', unixepoch());
"""

_ERRANDS = """
CREATE TABLE errands (                            -- what a request asks of the keeper; swept after minutes
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    params TEXT NOT NULL,                         -- JSON
    status TEXT NOT NULL,                         -- queued, running, done, failed
    asked_at INTEGER NOT NULL,
    finished_at INTEGER,
    result TEXT NOT NULL DEFAULT '{}',            -- JSON
    error TEXT NOT NULL DEFAULT '{}'              -- JSON: kind, detail and extras of an error
);
CREATE INDEX errands_open ON errands (status) WHERE status IN ('queued', 'running');
"""

_USERS = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,     -- stands in addresses
    salt BLOB NOT NULL,
    digest BLOB NOT NULL,                         -- of the password, under a key that is not in the database
    enabled INTEGER NOT NULL DEFAULT 1,
    lineups TEXT,                                 -- JSON list of names; NULL: all
    connection_limit INTEGER,                     -- streams at a time; NULL: any number
    expires_at INTEGER,                           -- NULL: never
    priority INTEGER NOT NULL DEFAULT 0,
    library INTEGER NOT NULL DEFAULT 1,           -- films and series too
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE user_favourites (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    PRIMARY KEY (user_id, position)
) WITHOUT ROWID;
CREATE TABLE users_mark (mark INTEGER NOT NULL);  -- another number after every change of a user
INSERT INTO users_mark VALUES (1);
CREATE TRIGGER users_made AFTER INSERT ON users BEGIN UPDATE users_mark SET mark = mark + 1; END;
CREATE TRIGGER users_changed AFTER UPDATE ON users BEGIN UPDATE users_mark SET mark = mark + 1; END;
CREATE TRIGGER users_gone AFTER DELETE ON users BEGIN UPDATE users_mark SET mark = mark + 1; END;
"""

MIGRATIONS = (_FIRST + _ERRANDS + _USERS,)
