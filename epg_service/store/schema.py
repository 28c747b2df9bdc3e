"""The guide database's tables, as numbered steps. A step that was released is never edited: add the next one.

    providers ──< channel_mappings >── channels       a provider's channel belongs to one logical channel
                        │
                        ├──< programs                 what a person reads and a query filters by: one row a programme
                        ├──< program_days             everything the XMLTV elements said, packed by (mapping, day)
                        └──< program_parts            how a day is taken apart, and known again in a file
    providers ──< import_log                          one row a run
    lineups ──< lineup_channels >── channels          what the stream service sent, and what it was matched to
                lineup_pins     >── channels          matches that a person decided

Keys that no sequence hands out: programs.id = mapping << 35 | start << 3 | ordinal (below 2^53; a programme keeps its
id as long as its channel and start are the same), program_days.id = mapping << 16 | day since 1970.
`programs` has no index but its key: an import would pay for it with every row, and every query knows its mapping.
Foreign keys do not reach from programs: a provider is deleted by a flag, at once, and its rows in small steps.
"""

APPLICATION_ID = 0x41457067  # "AEpg"

_FIRST = """
CREATE TABLE providers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    xmltv_url TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,          -- the higher one wins a channel that several providers have
    schedule TEXT,                                -- cron expression or HH:MM; NULL: the daily default
    default_timezone TEXT,                        -- for times without an offset; NULL: UTC
    shift_minutes INTEGER NOT NULL DEFAULT 0,     -- added to every time of the file
    retention_days INTEGER,                       -- past and future; NULL: the configuration's
    deleted INTEGER NOT NULL DEFAULT 0,           -- hidden at once, purged by the keeper
    etag TEXT, last_modified TEXT, digest TEXT,   -- of the last good file
    basis TEXT,                                   -- what that file was read with (zone, shift, window)
    fresh_until INTEGER NOT NULL DEFAULT 0,       -- from then on the window holds another part of it
    good_kept INTEGER NOT NULL DEFAULT 0,         -- programmes, channels and losses of the last good file
    good_channels INTEGER NOT NULL DEFAULT 0,
    good_skipped INTEGER NOT NULL DEFAULT 0,
    good_report TEXT NOT NULL DEFAULT '{}',
    good_at INTEGER,
    linked TEXT                                   -- what the stream service calls it: the guide of a panel it takes
);
CREATE UNIQUE INDEX providers_linked ON providers (linked) WHERE deleted = 0;
CREATE UNIQUE INDEX providers_name ON providers (name COLLATE NOCASE) WHERE deleted = 0;

CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,                           -- its XMLTV id
    display_name TEXT NOT NULL,
    icon_url TEXT,
    own_display_name TEXT,                        -- what a person called it; NULL: as the provider says
    own_icon_url TEXT,
    hidden INTEGER NOT NULL DEFAULT 0,            -- left out of lists and published guides
    shift_minutes INTEGER NOT NULL DEFAULT 0,     -- added to times when they are asked for or published
    created_at INTEGER NOT NULL,
    UNIQUE (name)
);

CREATE TABLE channel_mappings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    provider_id INTEGER NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    provider_channel_id TEXT NOT NULL,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    how TEXT NOT NULL,                            -- how it was decided that it belongs to this channel
    display_name TEXT,                            -- what the provider calls it
    icon_url TEXT,
    place INTEGER NOT NULL DEFAULT 0,             -- those that were moved here come after those that were always here
    element BLOB,                                 -- the <channel> element, as the provider last sent it
    shift_minutes INTEGER NOT NULL DEFAULT 0,     -- this provider's channel is off by so much; added like the channel's
    moving INTEGER NOT NULL DEFAULT 0,            -- remapped: programs.channel_id follows in small steps
    longest_s INTEGER NOT NULL DEFAULT 0,         -- at least the longest programme's length: how far back a query looks
    UNIQUE (provider_id, provider_channel_id)
);
CREATE INDEX channel_mappings_channel ON channel_mappings (channel_id);

CREATE TABLE programs (
    id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL,
    provider_id INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    title TEXT NOT NULL
);

CREATE TABLE program_days (
    id INTEGER PRIMARY KEY,
    contents BLOB NOT NULL,                       -- packed keys, digests, stops, lengths, flags (see domain.days)
    body BLOB NOT NULL                            -- the elements, deflated
);

CREATE TABLE import_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    provider_id INTEGER NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    started_at INTEGER,
    completed_at INTEGER,
    status TEXT NOT NULL,
    programs_imported INTEGER NOT NULL DEFAULT 0,
    programs_skipped INTEGER NOT NULL DEFAULT 0,
    error_message TEXT,
    queued_at INTEGER NOT NULL,
    reason TEXT NOT NULL,                         -- manual, schedule, catch-up, retry, command
    attempt INTEGER NOT NULL DEFAULT 0,           -- of a scheduled run that failed: 1, 2, 3
    not_before INTEGER NOT NULL DEFAULT 0,
    force INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0,
    progress TEXT NOT NULL DEFAULT '{}',
    report TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX import_log_provider ON import_log (provider_id, completed_at);
CREATE INDEX import_log_open ON import_log (status) WHERE status IN ('queued', 'running');

CREATE TABLE lineups (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    matched_at INTEGER,                           -- NULL: to be matched and published again
    match_basis TEXT,                             -- digest of all that the matches were decided from
    extras TEXT NOT NULL DEFAULT '{}'             -- rules and filters for programmes, as they were sent
);

CREATE TABLE lineup_channels (
    lineup TEXT NOT NULL REFERENCES lineups (name) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    tvg_id TEXT,
    number TEXT,
    logo TEXT,
    channel_group TEXT,
    channel_id INTEGER REFERENCES channels (id) ON DELETE SET NULL,
    method TEXT,
    score REAL,
    shift_minutes INTEGER NOT NULL DEFAULT 0,     -- 60 for a "+1" that shows its base channel's guide
    runners_up TEXT NOT NULL DEFAULT '[]',        -- [[channel_id, score], …]
    PRIMARY KEY (lineup, id)
);
CREATE INDEX lineup_channels_channel ON lineup_channels (channel_id);

CREATE TABLE lineup_pins (                        -- a person's word; it stands however often a lineup comes anew
    lineup TEXT NOT NULL,
    id TEXT NOT NULL,
    channel_id INTEGER,                           -- NULL: no guide. One that is gone is looked for by its name: a
    channel TEXT,                                 -- provider that was deleted and added again has other numbers
    created_at INTEGER NOT NULL,
    PRIMARY KEY (lineup, id)
);

CREATE TABLE guide_changes (                      -- what people decided and published guides do not show yet
    id INTEGER PRIMARY KEY CHECK (id = 1),
    asked INTEGER NOT NULL,
    published INTEGER NOT NULL
);
INSERT INTO guide_changes VALUES (1, 0, 0);

CREATE TABLE guide_mark (mark INTEGER NOT NULL);  -- another random number after every change of what is shown: answers
INSERT INTO guide_mark VALUES (random());         -- and the search index made under one mark stay good; no count, so
                                                  -- that a restored copy never comes to a mark it had in another life
CREATE TRIGGER mark_day_added AFTER INSERT ON program_days BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_day_changed AFTER UPDATE ON program_days BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_day_gone AFTER DELETE ON program_days BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_channel_added AFTER INSERT ON channels BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_channel_changed AFTER UPDATE ON channels BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_channel_gone AFTER DELETE ON channels BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_mapping_added AFTER INSERT ON channel_mappings BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_mapping_changed AFTER UPDATE ON channel_mappings BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_mapping_gone AFTER DELETE ON channel_mappings BEGIN UPDATE guide_mark SET mark = random(); END;
CREATE TRIGGER mark_provider_changed AFTER UPDATE OF priority, deleted ON providers
    BEGIN UPDATE guide_mark SET mark = random(); END;
"""

_SOURCE = """
ALTER TABLE providers ADD COLUMN good_channels_skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE providers ADD COLUMN good_source TEXT NOT NULL DEFAULT '{}';  -- the attributes of the last good file's <tv>
"""

_PARTS = """
CREATE TABLE program_parts (                      -- beside program_days, whose bodies one need not read for it
    id INTEGER PRIMARY KEY,                       -- that of the day
    parts BLOB NOT NULL                           -- what is known of the parts of the body: see domain.parts
);
"""

_PARTS_BY_PROGRAMME = """
DELETE FROM program_parts;                        -- they say more now; days come to have parts as they change
"""

MIGRATIONS = (_FIRST, _SOURCE, _PARTS, _PARTS_BY_PROGRAMME)
