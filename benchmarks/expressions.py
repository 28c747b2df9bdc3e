"""What the language of rules costs: names of 100,000 streams through 50 rules, CPU microseconds for a record.

    python -m benchmarks.expressions [--records 100000]

The rules are of the kinds that people write (cleaning names, grouping by words, country prefixes, time shifts, adult
off). The floor is the least that Python can do for as many rules: 50 calls of a function that looks for a word in the
folded name.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence

from tvkit.expressions import STREAM, compile_expression

COUNTRIES = ("UK", "DE", "FR", "US", "ES", "IT", "PT", "NL", "TR", "PL")
STEMS = (
    "BBC One", "Das Erste", "TF1", "Sky Sports Main Event", "Discovery Channel", "Canal+ Cinéma", "RTL", "News 24",
    "Film Vier", "Kinder TV", "Music Box", "Radio Bremen", "Eurosport", "Nat Geo Wild", "XXX Night", "Al Jazeera",
)  # fmt: skip
QUALITIES = ("", " HD", " FHD", " SD", " 4K", " ᴴᴰ", " HEVC", " [backup]", " (1080p)", " +1")
GROUPS = ("Sport", "News", "Movies", "Kids", "General", "Adults XXX", "Music", "Documentary")

WORDS = ("sport", "news", "kino", "film", "kids", "kinder", "music", "radio", "docu", "geo", "discovery", "weather")
RULES = [
    *(f'channel_name contains "{word}" SET group_title = "{word.title()}"' for word in WORDS),
    *(f'name matches "^{land}: (.+)$" SET channel_name = $1, tvg_country ?= "{land}"' for land in COUNTRIES),
    *(f'channel_name ends_with "{quality}" REMOVE channel_name = "{quality}"' for quality in QUALITIES if quality),
    'channel_name matches "(.+) HD$" SET channel_name = $1',
    r'channel_name matches "\[([A-Za-z]+)\]" SET tvg_name = $1',
    r'channel_name matches "\((\d{3,4})[pi]\)" SET tvg_name = "$1"',
    'channel_name matches "adult|xxx|18\\+" OR group_title contains "XXX" SET is_adult = true',
    r'channel_name matches ".*[ ](?:\+([0-9]{1,2})|(-[0-9]{1,2}))([hH]?)(?:$|[ ]).*" AND channel_name not matches '
    r'".*(?:start:|stop:|24[-/]7).*" AND tvg_id matches "^.+$" SET tvg_shift = "$1$2"',
    'stream_url not matches "^https?://" SET group_title = "Broken"',
    'tvg_id equals "" SET tvg_id = $tvg_name',
    'tvg_name equals "" SET_IF_EMPTY tvg_name = $channel_name',
    'group_title matches "^(?:general|other|misc).*" SET group_title = "TV"',
    'NOT (group equals "Kids" OR group equals "Music") AND channel_name contains "box" SET group_title += " *"',
    r'channel_name matches "\s{2,}" SET channel_name -= "  "',
    "tvg_chno > 900 SET tvg_chno = 0",
    'channel_name starts_with "BBC" && tvg_country == "UK" SET tvg_logo ?= "http://logos.example/bbc.png"',
    '(name contains "sky" SET group_title = "Sky") OR (name contains "canal" SET group_title = "Canal")',
    'tvg_language equals "" AND tvg_country equals "DE" SET tvg_language = "German"',
    'channel_name matches "(?i)^(.*?) (?:backup|raw)$" SET channel_name = "$1"',
    'channel_name matches "^(.+?) - (.+)$" SET channel_name = "$2 ($1)"',
    'channel_name case_sensitive contains "RTL" SET tvg_id ?= "rtl.de"',
    'stream_url contains "/radio/" SET radio = true',
]  # fmt: skip


def record(at: int, chance: random.Random) -> dict[str, str]:
    """One stream as an importer would give it."""
    name = f"{chance.choice(COUNTRIES)}: {chance.choice(STEMS)} {at % 997}{chance.choice(QUALITIES)}"
    return {
        "channel_name": name, "tvg_id": f"c{at}" if at % 3 else "", "tvg_name": "", "tvg_logo": "",
        "group_title": chance.choice(GROUPS), "tvg_chno": str(at % 1000), "tvg_shift": "", "tvg_language": "",
        "tvg_country": "", "radio": "", "is_adult": "", "stream_url": f"http://tv.example/live/{at}.ts",
        "source_name": "bench", "source_type": "m3u", "source_url": "http://tv.example/list.m3u",
    }  # fmt: skip


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    chance = random.Random(1)
    records = [record(at, chance) for at in range(count)]
    compile_expression("true", STREAM)  # the parser is built once
    compiled_s = cpu_s(lambda: [compile_expression(rule, STREAM) for rule in RULES])
    rules = [compile_expression(rule, STREAM) for rule in RULES]
    floor_s = cpu_s(lambda: [looked_for(one, len(rules)) for one in records])
    sieve = [[rule.matches(one) for rule in rules].count(True) for one in records[:1000]]
    matching_s = cpu_s(lambda: through([rule.matches for rule in rules], records))
    applying_s = cpu_s(lambda: through([rule.apply for rule in rules], records))
    print(f"{count:,} records, {len(rules)} rules, {sum(sieve) / len(sieve):.1f} of them match a record\n")
    print("| | CPU s | us for a record | x floor |\n|---|---|---|---|")
    for name, cost_s in (("floor", floor_s), ("conditions only", matching_s), ("conditions and actions", applying_s)):
        print(f"| {name} | {cost_s:.2f} | {cost_s / count * 1e6:.1f} | {cost_s / floor_s:.2f} |")
    print(f"\ncompiling the rules: {compiled_s * 1e3:.0f} ms; given up: {sum(rule.given_up for rule in rules)}")


def through(rules: Sequence[Callable[[dict[str, str]], object]], records: Sequence[dict[str, str]]) -> None:
    """Every record through every rule, in the order of a build."""
    for one in records:
        for rule in rules:
            rule(one)


def looked_for(one: dict[str, str], times: int) -> bool:
    """A word looked for in the folded name, as often as there are rules."""
    return any([contains(one) for _ in range(times)])


def contains(one: dict[str, str]) -> bool:
    return "zzz" in one.get("channel_name", "").casefold()


if __name__ == "__main__":
    main()
