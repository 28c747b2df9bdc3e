"""Rules and filters that come with the program: rules switched off, filters attached nowhere, until somebody chooses.

Each has a key that stays the same for ever, so that a person may rename it, change it, delete it, and have it back.
"""

from collections.abc import Mapping
from typing import Any

RULES: tuple[Mapping[str, Any], ...] = (
    {
        "shipped": "time-shift",
        "name": "Time shift from the name",
        "description": "Channels called +1 or -2 get their guide moved by so many hours, when they have a guide id.",
        "expression": r'tvg_id not equals "" AND channel_name not matches "start:|stop:|24[-/]7"'
        r' AND channel_name matches "(?:^|\s)(?:\+([0-9]{1,2})|(-[0-9]{1,2}))h?(?:$|\s)" SET tvg_shift = "$1$2"',
    },
    {
        "shipped": "group-ornaments",
        "name": "Groups without ornaments",
        "description": "Takes stars, bars, hashes and blanks away from both ends: «|| ★ SPORT ★ ||» becomes «SPORT».",
        "expression": r'group_title matches "^[\s|#=*~_.:•·▎│┃┇►◄▶◀★☆●◉✦✪-]*(.*?)[\s|#=*~_.:•·▎│┃┇►◄▶◀★☆●◉✦✪-]*$"'
        r' SET group_title = "$1"',
    },
    {
        "shipped": "group-country",
        "name": "Groups without a country in front",
        "description": "«UK: Sport», «UK | Sport» and «[UK] Sport» become «Sport». Two or three capital letters only.",
        "expression": r"group_title case_sensitive matches"
        r' "^\s*(?:\[[A-Z]{2,3}\]|\([A-Z]{2,3}\)|[A-Z]{2,3}\s*[:|])\s*(\S.*)$" SET group_title = "$1"',
    },
    {
        "shipped": "group-quality",
        "name": "Groups without a quality",
        "description": "«Sport FHD» and «Sport 4K» become «Sport»: one group for every quality.",
        "expression": r'group_title matches "^(.*\S)[\s|/_-]+\(?(?:SD|HD|FHD|UHD|4K|8K|HEVC|H\.?26[45]|RAW)\)?$"'
        r' SET group_title = "$1"',
    },
    {
        "shipped": "group-sport",
        "name": "One group for sport",
        "description": "Every group that speaks of sport becomes «Sport».",
        "expression": r'group_title matches "\b(?:sports?|deportes|esportes?|sportowe|calcio|football|soccer)\b"'
        r' SET group_title = "Sport"',
    },
    {
        "shipped": "group-news",
        "name": "One group for news",
        "description": "Every group that speaks of news becomes «News».",
        "expression": r'group_title matches "\b(?:news|not[ií]cias|nachrichten|notizie|informaci[oó]n|actualit[eé]s)\b"'
        r' SET group_title = "News"',
    },
    {
        "shipped": "group-movies",
        "name": "One group for films",
        "description": "Every group that speaks of films or cinema becomes «Movies».",
        "expression": r'group_title matches "\b(?:movies?|films?|cinema|cine|kino|pel[ií]culas)\b"'
        r' SET group_title = "Movies"',
    },
    {
        "shipped": "group-none",
        "name": "A group for those without one",
        "description": "Channels without a group stand in «Other».",
        "expression": r'group_title not matches "\S" SET group_title = "Other"',
    },
)

FILTERS: tuple[Mapping[str, Any], ...] = (
    {
        "shipped": "valid-urls",
        "name": "Only valid addresses",
        "description": "Takes out what has no address that could be played.",
        "action": "exclude",
        "expression": r'NOT stream_url matches "^(?:https?|udp|rtp|rtsp|rtmps?|srt)://[^\s/]"',
    },
    {
        "shipped": "adult-off",
        "name": "Nothing for adults",
        "description": "Takes out what its source marks as adult, and what calls itself so.",
        "action": "exclude",
        "expression": "is_adult equals true"
        ' OR group_title contains "18+" OR group_title contains "+18" OR channel_name contains "18+"'
        r' OR group_title matches "\b(?:adults?|xxx|porno?|erotica?|erotik)\b"'
        r' OR channel_name matches "\b(?:xxx|porno?|erotica?|erotik|hustler|playboy|adults? only)\b"',
    },
    {
        "shipped": "no-separators",
        "name": "No separators",
        "description": "Takes out entries that are headings of a list: «##### SPORT #####».",
        "action": "exclude",
        "expression": r'channel_name matches "^\s*(?:([#=*~_|•▎►◄★●-])\1{2}|[#=*~_|•▎►◄★●-]{3,}\s*$)"',
    },
    {
        "shipped": "no-radio",
        "name": "No radio",
        "description": "Takes out what its source marks as radio.",
        "action": "exclude",
        "expression": "radio equals true",
    },
)
