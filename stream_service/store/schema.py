"""The stream database's tables, as numbered steps. A step that was released is never edited: add the next one.

    sources ──< runs                       one row a refresh
    sources ──< entries >── streams        an entry of a source's list is a stream; the stream is permanent
    streams >── channels                   and belongs to a channel; the channel's id is never given again
    lineups ──< lineup_channels >── channels   with the channel's permanent number in that lineup
    lineups ──< builds                     one row a build

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
    content TEXT,                                 -- a digest of what was read in it, whatever its bytes
    rewrites INTEGER NOT NULL DEFAULT 0,          -- the last new bytes held the same entries
    good_entries INTEGER NOT NULL DEFAULT 0,
    good_skipped INTEGER NOT NULL DEFAULT 0,
    private INTEGER NOT NULL DEFAULT 0,           -- its address is private, so what it names may be
    guide_urls TEXT NOT NULL DEFAULT '[]',
    username TEXT,                                -- of an Xtream account
    password TEXT,
    backup_urls TEXT NOT NULL DEFAULT '[]',       -- tried in their order when `url` does not answer
    options TEXT NOT NULL DEFAULT '{}',           -- JSON: live, vod, series, vod_as_channels
    auto_epg INTEGER NOT NULL DEFAULT 1,          -- a panel's guide is linked at the guide service
    account TEXT NOT NULL DEFAULT '{}',           -- JSON: what the panel says of the account; see domain/account.py
    account_connections INTEGER,                  -- so many it allows at a time
    library_waiting TEXT                          -- JSON: kinds of staged titles that were accepted, to be taken over
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
    channel_id TEXT,                              -- channels are never deleted: a key would only cost
    provider_id TEXT NOT NULL DEFAULT '',         -- what it was known by when it vanished
    tvg_id TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    channel_group TEXT NOT NULL DEFAULT '',
    url TEXT NOT NULL DEFAULT ''
);
CREATE INDEX streams_source ON streams (source_id, vanished_at);
CREATE INDEX streams_channel ON streams (channel_id) WHERE channel_id IS NOT NULL;

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
    reason TEXT NOT NULL,                         -- manual, schedule, catch-up, retry, linked, command
    attempt INTEGER NOT NULL DEFAULT 0,           -- of a scheduled run that failed: 1, 2, 3
    not_before INTEGER NOT NULL DEFAULT 0,
    force INTEGER NOT NULL DEFAULT 0,
    stage TEXT NOT NULL DEFAULT '',
    progress TEXT NOT NULL DEFAULT '{}',          -- JSON: percent and counts of what it is doing
    cancel INTEGER NOT NULL DEFAULT 0,            -- somebody asked it to end
    report TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_source ON runs (source_id, id);
CREATE INDEX runs_open ON runs (status) WHERE status IN ('queued', 'running');

CREATE TABLE profiles (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    options TEXT NOT NULL,                        -- JSON: see domain/profiles.py
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

"""

_LINEUPS = """
CREATE TABLE lineups (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT 0,
    built_at INTEGER,
    delivery TEXT NOT NULL DEFAULT 'relay',       -- how viewers get its channels: relay, redirect, a profile
    options TEXT NOT NULL DEFAULT '{}',           -- JSON: see domain/lineup.py
    digest TEXT NOT NULL DEFAULT '',              -- of what was last published
    channels INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 1,             -- something it is made of changed since it was built
    renumber INTEGER NOT NULL DEFAULT 0,          -- the next build gives all numbers anew
    deleted INTEGER NOT NULL DEFAULT 0            -- hidden at once, its rows go in small steps
) WITHOUT ROWID;

CREATE TABLE lineup_channels (
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    number TEXT NOT NULL,                         -- permanent: the row stays when the channel is away
    shown TEXT NOT NULL DEFAULT '',               -- that, or the number a person set
    major INTEGER NOT NULL,                       -- of `shown`
    minor INTEGER NOT NULL,
    present INTEGER NOT NULL DEFAULT 0,
    hidden INTEGER NOT NULL DEFAULT 0,            -- by hand
    position INTEGER NOT NULL DEFAULT 0,          -- in the order of the lineup
    name TEXT NOT NULL DEFAULT '',                -- as the lineup shows it
    channel_group TEXT NOT NULL DEFAULT '',
    logo TEXT NOT NULL DEFAULT '',
    tvg_id TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (lineup, channel_id),
    UNIQUE (lineup, number)
) WITHOUT ROWID;
CREATE INDEX lineup_channels_order ON lineup_channels (lineup, major, minor, channel_id) WHERE present = 1;

CREATE TABLE lineup_overrides (                   -- what a person set of one channel; NULL: nothing
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    number TEXT,
    name TEXT,
    logo TEXT,
    channel_group TEXT,
    tvg_id TEXT,
    hidden INTEGER NOT NULL DEFAULT 0,
    position INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (lineup, channel_id),
    UNIQUE (lineup, number)
) WITHOUT ROWID;

CREATE TABLE lineup_aliases (                     -- channels that are another one in a lineup; kept for ever
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    leads_to TEXT NOT NULL REFERENCES channels (id),
    PRIMARY KEY (lineup, channel_id)
) WITHOUT ROWID;

CREATE TABLE lineup_ranges (                      -- numbers of groups, by the first of each range
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    channel_group TEXT NOT NULL,
    ordinal INTEGER NOT NULL,                     -- 0; more where the group outgrew it
    first INTEGER NOT NULL,
    PRIMARY KEY (lineup, channel_group, ordinal),
    UNIQUE (lineup, first)
) WITHOUT ROWID;

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lineup TEXT NOT NULL,
    status TEXT NOT NULL,                         -- queued, running, success, unchanged, failed, interrupted
    reason TEXT NOT NULL,                         -- change, manual
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    stage TEXT NOT NULL DEFAULT '',
    channels INTEGER NOT NULL DEFAULT 0,
    error_message TEXT,
    report TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX builds_lineup ON builds (lineup, id);

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

_MANUAL = """
CREATE TABLE manual_channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,         -- permanent: what its stream is known by
    source_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    url TEXT NOT NULL DEFAULT '',                 -- '': a channel that has its place and no stream yet
    tvg_id TEXT NOT NULL DEFAULT '',
    tvg_name TEXT NOT NULL DEFAULT '',
    channel_group TEXT NOT NULL DEFAULT '',
    number TEXT NOT NULL DEFAULT '',
    logo TEXT NOT NULL DEFAULT '',
    headers TEXT NOT NULL DEFAULT '{}',
    attributes TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX manual_channels_source ON manual_channels (source_id, position);
"""

_GUIDE_LINKS = """
CREATE TABLE guide_links (                        -- guides of panels at the guide service; outlives its source
    source_id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,                            -- what the guide service knows it by
    digest TEXT NOT NULL DEFAULT '',              -- of what it was told last
    state TEXT NOT NULL DEFAULT 'waiting',        -- waiting, linked, no_guide, failed
    provider_id INTEGER,
    detail TEXT NOT NULL DEFAULT '',
    tried_at INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL DEFAULT 0
);
"""

_TITLE_COLUMNS = """
    source_id INTEGER NOT NULL,
    provider_id TEXT NOT NULL,                    -- unique among the source's titles of the kind
    digest INTEGER NOT NULL,                      -- of all that is said below
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    picture TEXT NOT NULL,
    year TEXT NOT NULL,
    rating TEXT NOT NULL,
    added_at INTEGER,
    is_adult INTEGER NOT NULL,
    container TEXT NOT NULL,
    url TEXT NOT NULL,                            -- '': made of the source's address, its login and provider_id
    headers TEXT NOT NULL,
    details TEXT NOT NULL,                        -- JSON: plot, cast, director, genre, released, ...
    info TEXT NOT NULL DEFAULT '{}',              -- JSON: what was told when this one was asked for
    first_seen INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    looked_at INTEGER,                            -- when this one was asked for (episodes, details)
    vanished_at INTEGER,                          -- NULL while its source lists it
    UNIQUE (source_id, provider_id)
"""

_LIBRARY = f"""
CREATE TABLE movies (id INTEGER PRIMARY KEY AUTOINCREMENT, {_TITLE_COLUMNS});
CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, {_TITLE_COLUMNS});
CREATE TABLE episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL,
    provider_id TEXT NOT NULL,
    digest INTEGER NOT NULL,
    season INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    container TEXT NOT NULL,
    url TEXT NOT NULL,
    picture TEXT NOT NULL,
    added_at INTEGER,
    headers TEXT NOT NULL,
    details TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    vanished_at INTEGER,
    UNIQUE (series_id, provider_id)
);
CREATE TABLE library_staged (                     -- what a refresh read, until its verdict and its taking over
    source_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,                           -- movie, series, episode
    provider_id TEXT NOT NULL,
    parent TEXT NOT NULL,                         -- of an episode: its series' provider_id
    digest INTEGER NOT NULL,
    said TEXT NOT NULL,                           -- JSON: the values of its columns
    PRIMARY KEY (source_id, position)
) WITHOUT ROWID;
CREATE INDEX library_staged_key ON library_staged (source_id, kind, provider_id);
"""

_RULES = """
CREATE TABLE rules (                              -- conditions with actions, in the expression language
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    expression TEXT NOT NULL,                     -- as it was typed
    domain TEXT NOT NULL CHECK (domain IN ('stream', 'programme')),
    source_id INTEGER REFERENCES sources (id) ON DELETE CASCADE,    -- NULL: entries of every source
    lineup TEXT REFERENCES lineups (name) ON DELETE CASCADE,        -- NULL: in every lineup
    enabled INTEGER NOT NULL DEFAULT 1,
    stop INTEGER NOT NULL DEFAULT 0,              -- what it matched is not shown to the rules behind it
    description TEXT NOT NULL DEFAULT '',
    shipped TEXT NOT NULL DEFAULT '',             -- key of one that came with the program
    position INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX rules_source ON rules (source_id) WHERE source_id IS NOT NULL;
CREATE INDEX rules_lineup ON rules (lineup) WHERE lineup IS NOT NULL;

CREATE TABLE filters (                            -- conditions that choose
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    expression TEXT NOT NULL,
    domain TEXT NOT NULL CHECK (domain IN ('stream', 'programme')),
    action TEXT NOT NULL CHECK (action IN ('include', 'exclude')),  -- its usual one
    enabled INTEGER NOT NULL DEFAULT 1,
    description TEXT NOT NULL DEFAULT '',
    shipped TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE lineup_filters (
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE ON UPDATE CASCADE,
    position INTEGER NOT NULL,
    filter_id INTEGER NOT NULL REFERENCES filters (id) ON DELETE CASCADE,
    action TEXT NOT NULL CHECK (action IN ('include', 'exclude')),
    enabled INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (lineup, filter_id)
) WITHOUT ROWID;
CREATE INDEX lineup_filters_filter ON lineup_filters (filter_id);

CREATE TABLE shipped_seen (                       -- what came with the program is written down once
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""

_INSTALLATION = """
CREATE TABLE installation (                       -- one row: what this installation is known by, for ever
    id INTEGER PRIMARY KEY CHECK (id = 1),
    ident TEXT NOT NULL                           -- by chance; ids of HDHomeRun devices are made of it
);
INSERT INTO installation VALUES (1, lower(hex(randomblob(16))));
"""

_LOGOS = """
CREATE TABLE logos (                              -- that people uploaded
    id TEXT PRIMARY KEY,                          -- for ever: rules and channels name it, @logo:ID
    name TEXT NOT NULL,
    picture TEXT NOT NULL,                        -- the hash of its content
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE logo_addresses (                     -- that sources name, and what became of each
    url TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    private_ok INTEGER NOT NULL,                  -- a source whose own address is private names it
    picture TEXT,                                 -- the hash of its content; NULL: none yet
    wanted_at INTEGER NOT NULL,                   -- when a lineup last used it
    due_at INTEGER NOT NULL DEFAULT 0,            -- when it is asked for next
    failures INTEGER NOT NULL DEFAULT 0,          -- in a row
    gone INTEGER NOT NULL DEFAULT 0,              -- its server says that there is no picture
    reason TEXT NOT NULL DEFAULT '',              -- of the last failure
    etag TEXT NOT NULL DEFAULT '',
    last_modified TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX logo_addresses_due ON logo_addresses (due_at);
CREATE INDEX logo_addresses_host ON logo_addresses (host);
"""

_SESSIONS_LOG = """
CREATE TABLE sessions_log (                       -- viewings that are over: see domain/watching.py
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id TEXT NOT NULL,
    channel TEXT NOT NULL,                        -- its name at that time
    lineup TEXT NOT NULL,                         -- '' when it is not known
    profile TEXT NOT NULL,                        -- '' for none
    via TEXT NOT NULL,                            -- ts, hls
    user TEXT NOT NULL,                           -- '' for none
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    source_id INTEGER,                            -- of the stream in use at the end
    stream_id INTEGER,
    started_at INTEGER NOT NULL,
    duration_s INTEGER NOT NULL,
    wait_ms INTEGER NOT NULL,                     -- from asking to the first byte
    bytes_sent INTEGER NOT NULL,
    jumps INTEGER NOT NULL,                       -- how often the viewer fell out of the ring
    switches INTEGER NOT NULL,                    -- of the channel's streams meanwhile
    slates INTEGER NOT NULL,
    end TEXT NOT NULL                             -- why it ended
);
CREATE INDEX sessions_log_started ON sessions_log (started_at);
CREATE INDEX sessions_log_channel ON sessions_log (channel_id, id);
"""

MIGRATIONS = (
    _FIRST
    + _LINEUPS
    + _ERRANDS
    + _RULES
    + _USERS
    + _MANUAL
    + _GUIDE_LINKS
    + _LIBRARY
    + _INSTALLATION
    + _LOGOS
    + _SESSIONS_LOG,
)
