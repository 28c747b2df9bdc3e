"""What the demo shows: six invented channels and their programmes from yesterday to three days ahead.

Pure: the day to begin with and the address of the provider are handed in. The same day always gives the same guide,
so a second import on that day finds nothing changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

DAYS_BACK = 1
DAYS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Show:
    """Something that is broadcast again and again; `episodes` are titles of single ones (none: a film, the news)."""

    title: str
    minutes: int
    category: str
    about: str
    episodes: tuple[str, ...] = ()
    year: int | None = None
    people: tuple[tuple[str, str], ...] = ()  # (role as XMLTV names it, name), in the order of the DTD
    age: str | None = None
    stars: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of the demo; `picture` names its recording in `media/`, `mark` the drawing on its logo."""

    id: str
    name: str
    number: int
    group: str
    picture: str
    mark: str
    colour: tuple[int, int, int]
    shows: tuple[Show, ...]


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One show at one time; `episode` counts from 0 through the seasons."""

    start: datetime
    stop: datetime
    show: Show
    episode: int


_NEWS_HOUR = Show("The Hour", 60, "News", "The day's reports from home and abroad, with guests in the studio.")
_HEADLINES = Show("Headlines", 15, "News", "What happened, in a quarter of an hour.")
_WEATHER = Show("Weather Eye", 15, "Weather", "Winds, tides and tomorrow's sky, region by region.")

_ONE = (
    Show("Good Morning, Harbour", 120, "Talk", "Breakfast, guests and the papers, live from the quay."),
    _HEADLINES,
    _WEATHER,
    Show(
        "Two Pots of Tea",
        30,
        "Comedy",
        "Three generations run one café, and none of them likes the new machine.",
        ("The Till", "Decaf", "A Queue of One", "The Inspector", "Sugar", "Closing Time"),
        people=(("actor", "Mara Lindqvist"), ("actor", "Owen Achterberg")),
    ),
    Show(
        "Saltmarsh",
        60,
        "Drama",
        "An inspector returns to the village that she left and finds that the tide has kept its secrets.",
        (
            "Low Water",
            "The Ferryman",
            "Reeds",
            "What the Heron Saw",
            "Spring Tide",
            "Slack Water",
            "The Causeway",
            "Ebb",
        ),
        people=(("director", "Ines Okafor"), ("actor", "Judith Varga"), ("actor", "Tomasz Reed")),
        age="12",
    ),
    Show(
        "Ask the Room",
        45,
        "Game show",
        "Five strangers, one question that nobody can answer alone.",
        ("Round Tables", "The Long Pause", "Half Right", "Nobody Knows"),
        people=(("presenter", "Bela Castellan"),),
    ),
    _NEWS_HOUR,
    Show(
        "Night Line",
        75,
        "Talk",
        "A conversation that takes as long as it takes.",
        people=(("presenter", "Ruth Amadi"),),
    ),
)

_NEWS = (
    _NEWS_HOUR,
    _HEADLINES,
    _WEATHER,
    Show("Market Bell", 30, "Business", "Prices, harvests and the firms that made the day's news."),
    Show(
        "The Long Report",
        45,
        "Current affairs",
        "One story a day, followed to its end.",
        ("The Bridge That Waited", "Water Rights", "Forty Years of Bread", "The Last Ferry", "Who Owns the Wind?"),
    ),
    Show("Press Review", 15, "News", "What the papers will say in the morning."),
)

_FILMS = (
    Show(
        "The Cartographer's Daughter",
        115,
        "Movie",
        "A girl corrects her father's maps, and the coast begins to obey her.",
        year=2019,
        people=(("director", "Helene Moreau"), ("actor", "Sofia Brandt"), ("actor", "Idris Vale")),
        age="6",
        stars="8/10",
    ),
    Show(
        "Eleven Minutes to Perth",
        95,
        "Movie",
        "A night train, a locked compartment and a passenger who was never booked.",
        year=2008,
        people=(("director", "Callum Strand"), ("actor", "Petra Nowak")),
        age="16",
        stars="7/10",
    ),
    Show(
        "Paper Lanterns",
        125,
        "Movie",
        "Two families share one courtyard through one long summer.",
        year=2014,
        people=(("director", "Min-ji Haneul"), ("actor", "Leo Falk"), ("actor", "Aiko Sato")),
        age="0",
        stars="9/10",
    ),
    Show(
        "The Understudy",
        105,
        "Movie",
        "She knows every part in the play, except her own.",
        year=1997,
        people=(("director", "Ana Duarte"), ("actor", "Grace Whitlock")),
        age="12",
        stars="6/10",
    ),
    Show("Coming Attractions", 10, "Magazine", "What runs next week, and why we are looking forward to it."),
)

_SPORT = (
    Show("Kick-off", 30, "Sports", "Line-ups, injuries and a word with the goalkeepers' union."),
    Show(
        "League Night",
        135,
        "Sports",
        "Football live, with both dug-outs wired for sound.",
        (
            "Harbour Town v Millfield",
            "North Quay v Alder Vale",
            "Castle Rovers v Harbour Town",
            "Millfield v North Quay",
        ),
    ),
    Show(
        "The Climb",
        60,
        "Sports",
        "Cycling's high passes, one mountain at a time.",
        ("The Wall", "Seventeen Bends", "Above the Trees", "The Descent"),
    ),
    Show(
        "Chalk and Rosin",
        45,
        "Sports",
        "Gymnastics from the halls where it is taught.",
        ("Vault", "Beam", "Bars", "Floor"),
    ),
    Show("Full Time", 45, "Sports", "All goals, all arguments."),
    Show(
        "Long Court",
        105,
        "Sports",
        "Tennis from the indoor season.",
        ("First Round", "Quarter-finals", "Semi-finals", "Final"),
    ),
)

_KIDS = (
    Show(
        "Pim and the Paper Boat",
        15,
        "Children",
        "Pim folds a boat each morning. It never comes home empty.",
        ("The Red Button", "An Island of Socks", "The Polite Whale", "Fog Soup", "The Upside-down Lighthouse"),
    ),
    Show(
        "How Big Is a Cloud?",
        30,
        "Children",
        "Questions that only children ask, answered by people who love them.",
        ("How Big Is a Cloud?", "Why Is Yellow?", "Who Invented Tuesday?", "Can Fish Be Thirsty?"),
    ),
    Show(
        "Rust & Bolt",
        25,
        "Animation",
        "Two robots keep a scrapyard, and the scrapyard's secrets.",
        ("Spare Parts", "The Magnet", "Oil Change", "The New Toaster", "Night Shift"),
    ),
    Show("Story Window", 10, "Children", "A book, a voice and a candle. Then it is time for bed."),
    Show(
        "The Great Cardboard Race",
        40,
        "Children",
        "Build it on Monday, race it on Friday, mend it in between.",
        ("Boats", "Cars"),
    ),
)

_NATURE = (
    Show(
        "Hedgerow",
        50,
        "Documentary",
        "A year in the life of one hundred metres of hedge.",
        ("January: Bare Wood", "March: First Bees", "May: White Blossom", "July: The Nest", "October: Berries"),
        people=(("presenter", "Dr Nia Pemberton"),),
    ),
    Show(
        "Deep Field",
        55,
        "Documentary",
        "What the great telescopes found while we slept.",
        ("Dust", "Two Suns", "The Quiet Galaxy", "Ice Moons"),
    ),
    Show(
        "Slow River",
        180,
        "Nature",
        "From the spring to the sea, without a word.",
        ("Source", "Rapids", "Meanders", "Delta"),
    ),
    Show(
        "The Mender's Bench",
        30,
        "Documentary",
        "Things that were thrown away, and the hands that put them right.",
        ("A Clock", "An Accordion", "A Child's Bicycle", "A Letter Press"),
    ),
)

CHANNELS: tuple[Channel, ...] = (
    Channel("one.aerial.example", "Aerial One HD", 1, "General", "one", "disc", (31, 97, 141), _ONE),
    Channel("news.aerial.example", "Lighthouse News", 2, "News", "two", "bars", (160, 40, 40), _NEWS),
    Channel("cinema.aerial.example", "Harbour Cinema", 3, "Films", "three", "ring", (88, 44, 120), _FILMS),
    Channel("sport.aerial.example", "Summit Sport", 4, "Sports", "one", "peak", (26, 122, 72), _SPORT),
    Channel("kids.aerial.example", "Kite Kids", 5, "Children", "two", "kite", (214, 122, 20), _KIDS),
    Channel("nature.aerial.example", "Meadow Nature", 6, "Documentary", "three", "wave", (70, 110, 40), _NATURE),
)


def broadcasts(channel: Channel, today: datetime) -> Iterator[Broadcast]:
    """Yield the channel's programmes in order and without gaps, from `DAYS_BACK` before `today` to `DAYS_AHEAD` after.

    Each day begins at midnight UTC with another show of the rota, so evenings differ; the day's last show is cut at
    midnight.
    """
    midnight = today.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for offset in range(-DAYS_BACK, DAYS_AHEAD + 1):
        start = midnight + timedelta(days=offset)
        day_end = start + timedelta(days=1)
        slot = start.toordinal()
        while start < day_end:
            show = channel.shows[slot % len(channel.shows)]
            stop = min(start + timedelta(minutes=show.minutes), day_end)
            yield Broadcast(start, stop, show, slot)
            start, slot = stop, slot + 1


def guide(today: datetime, address: str) -> str:
    """Return the sample guide as XMLTV, valid against its DTD; `address` is where the provider answers, no slash."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!DOCTYPE tv SYSTEM "xmltv.dtd">',
        '<tv source-info-name="Aerial demo">',
    ]
    for channel in CHANNELS:
        lines += [
            f"  <channel id={quoteattr(channel.id)}>",
            f"    <display-name>{escape(channel.name)}</display-name>",
            f"    <display-name>{channel.number}</display-name>",
            f"    <icon src={quoteattr(logo_address(channel, address))}/>",
            "  </channel>",
        ]
    for channel in CHANNELS:
        for broadcast in broadcasts(channel, today):
            lines += _programme(channel, broadcast)
    return "\n".join([*lines, "</tv>", ""])


def playlist(address: str) -> str:
    """Return the sample playlist as M3U with the guide's address, logos, groups and channel numbers."""
    lines = [f'#EXTM3U x-tvg-url="{address}/guide.xml"']
    for channel in CHANNELS:
        lines.append(
            f'#EXTINF:-1 tvg-id="{channel.id}" tvg-name="{channel.name}" tvg-chno="{channel.number}" '
            f'tvg-logo="{logo_address(channel, address)}" group-title="{channel.group}",{channel.name}'
        )
        lines.append(f"{address}/live/{channel.id}.ts")
    return "\n".join([*lines, ""])


def logo_address(channel: Channel, address: str) -> str:
    """Return where the channel's logo is served."""
    return f"{address}/logo/{channel.id}.png"


def _programme(channel: Channel, broadcast: Broadcast) -> list[str]:
    """Return one programme's lines, its elements in the order that the DTD asks for."""
    show, times = broadcast.show, [f"{at:%Y%m%d%H%M%S} +0000" for at in (broadcast.start, broadcast.stop)]
    lines = [f'  <programme start="{times[0]}" stop="{times[1]}" channel={quoteattr(channel.id)}>']
    lines.append(f'    <title lang="en">{escape(show.title)}</title>')
    if show.episodes:
        subtitle = show.episodes[broadcast.episode % len(show.episodes)]
        lines.append(f'    <sub-title lang="en">{escape(subtitle)}</sub-title>')
    lines.append(f'    <desc lang="en">{escape(show.about)}</desc>')
    if show.people:
        cast = "".join(f"<{role}>{escape(name)}</{role}>" for role, name in show.people)
        lines.append(f"    <credits>{cast}</credits>")
    if show.year:
        lines.append(f"    <date>{show.year}</date>")
    lines.append(f'    <category lang="en">{escape(show.category)}</category>')
    if show.episodes:
        season, episode = divmod(broadcast.episode % (len(show.episodes) * 4), len(show.episodes))
        lines.append(f'    <episode-num system="xmltv_ns">{season}.{episode}.</episode-num>')
        lines.append(f'    <episode-num system="onscreen">S{season + 1:02}E{episode + 1:02}</episode-num>')
    if show.age:
        lines.append(f'    <rating system="FSK"><value>{show.age}</value></rating>')
    if show.stars:
        lines.append(f"    <star-rating><value>{show.stars}</value></star-rating>")
    return [*lines, "  </programme>"]
