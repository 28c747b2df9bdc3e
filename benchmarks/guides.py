"""Makes guides for the benchmarks: the same (size, seed) gives the same file, a share of it can be edited."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

PER_DAY = 25
DAYS = 8
SERIES = 36
"""Of a channel: titles, people and pictures repeat, as they do in real guides."""
END_TAG = b"</programme>"
_SYLLABLES = "ka lo mi ne ru sa to vi da fe go ha ju pe qui bra sto tre wel zan".split()  # noqa: SIM905
_CATEGORIES = ("News", "Movie", "Series", "Sports", "Children", "Documentary", "Music", "Comedy")


def write_guide(path: Path, programmes: int, *, changed: float = 0.0) -> None:
    """A guide of about a kilobyte a programme, by channel, from yesterday on; `changed`: share with new texts."""
    channels = max(1, programmes // (PER_DAY * DAYS))
    with path.open("w", encoding="utf-8") as out:
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n<tv generator-info-name="benchmark">\n')
        for number in range(channels):
            out.write(
                f'  <channel id="bench.{number}.example"><display-name>Bench {number}</display-name>'
                f'<icon src="https://logos.example/{number}.png"/></channel>\n'
            )
        for number in range(channels):
            out.writelines(_programmes(number, changed))
        out.write("</tv>\n")


@dataclass(frozen=True, slots=True)
class _Series:
    """What the programmes of a series share."""

    title: str
    people: str
    category: str
    picture: int
    rating: int

    @classmethod
    def made(cls, source: random.Random) -> "_Series":
        people = "".join(f"<actor>{_words(source, 2)}</actor>" for _ in range(3))
        director = f"<director>{_words(source, 2)}</director>"
        pictures, ratings = source.randrange(10**6), source.choice((0, 6, 12, 16))
        return cls(_words(source, 3), director + people, source.choice(_CATEGORIES), pictures, ratings)


def _programmes(number: int, changed: float) -> Iterator[str]:
    source = random.Random(f"channel {number}")
    edits = random.Random(f"edits {number}")
    series = [_Series.made(source) for _ in range(SERIES)]
    moment = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    end = moment + timedelta(days=DAYS)
    step = timedelta(days=1) / PER_DAY
    while moment < end:
        shown, text = source.choice(series), _words(source, 70)
        if changed and edits.random() < changed:
            text = _words(edits, 70)
        season, episode = source.randrange(9), source.randrange(24)
        yield (
            f'  <programme start="{moment:%Y%m%d%H%M%S} +0000" stop="{moment + step:%Y%m%d%H%M%S} +0000" '
            f'channel="bench.{number}.example">\n    <title lang="en">{shown.title}</title>\n'
            f'    <sub-title lang="en">{_words(source, 3)}</sub-title>\n    <desc lang="en">{text} &amp; more</desc>\n'
            f"    <credits>{shown.people}</credits>\n"
            f"    <date>20{source.randrange(10, 26)}</date>\n"
            f'    <category lang="en">{shown.category}</category>\n'
            f'    <icon src="https://pictures.example/{number}/{shown.picture}.jpg"/>\n'
            f'    <episode-num system="xmltv_ns">{season}.{episode}.</episode-num>\n'
            f'    <episode-num system="onscreen">S{season + 1:02}E{episode + 1:02}</episode-num>\n'
            f'    <rating system="FSK"><value>{shown.rating}</value></rating>\n  </programme>\n'
        )
        moment += step


def _words(source: random.Random, count: int) -> str:
    return " ".join(
        "".join(source.choice(_SYLLABLES) for _ in range(source.randrange(1, 4))) for _ in range(count)
    ).capitalize()
