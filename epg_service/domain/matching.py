"""Which guide channel a lineup channel shows.

A wrong guide is worse than none, so every step asks for more than likeness: an id that is equal, a name that is equal
when what providers add is taken away, or a name so near that only spelling differs and nothing else comes close.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rapidfuzz import fuzz, process

from epg_service.domain.entities import LineupChannel
from epg_service.domain.model import GuideChannel
from tvkit.names import ReadName, call_sign, id_parts, is_quality, latin, numbers, read_name, regions_of_group

RULES = 1
"""The version of these rules: with another one, stored matches are decided again."""
FUZZY_LEAST = 92.0
"""A likeness (0 to 100) under this is never taken."""
FUZZY_MARGIN = 4.0
"""How much better than the next channel the best one must be."""
CORE_LONG, LATIN_LONG, FUZZY_LONG = 10, 8, 14
"""Letters and digits from which on a name tells enough by itself in these steps; shorter ones need an equal country."""
WORD_LEAST, WORD_SHORTEST = 80.0, 5
"""The likeness, and the length, that two words of such names need each."""
NEAR_LEAST = 60.0
"""Runners-up are shown from this likeness on."""
MOST_RUNNERS_UP = 3
MOST_COMPARED = 250
"""Guide names that one lineup name is compared with, those sharing its rarest words first."""
HOME_SHARE = 0.6
"""A lineup is at home in a country when more than this share of its channels that name one are from there."""
SHIFTS_H = frozenset((1, 2, 3, 24))
"""Hours that a "+n" in a name may mean; other numbers ("Canal+ 7") are part of the name."""

ID, ID_FOLDED, ID_QUALITY, ID_FEED = 100.0, 99.0, 98.0, 96.0
NAME, JOINED, CORE, STEM, STATION, LATIN = 95.0, 94.0, 92.0, 91.0, 91.0, 90.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guide channel and how well it fits, 0 to 100."""

    guide_channel_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """A lineup channel's guide channel: by which method, how sure, and who else was near.

    `guide_channel_id` is None (and `method` too) when none is sure enough; `shift_minutes` is added to its times.
    """

    guide_channel_id: int | None
    method: str | None
    score: float
    runners_up: tuple[Candidate, ...] = ()
    shift_minutes: int = 0


def match(
    lineup_channels: Iterable[LineupChannel], guide_channels: Iterable[GuideChannel], pins: Mapping[str, int | None]
) -> dict[str, Match]:
    """What was decided for each lineup channel, by its id. `pins` are a person's decisions (None: no guide).

    Methods, the surer first: `pin`; `id` (the tvg-id is the guide channel's: exactly 100, but for case and blanks 99,
    but for a feed such as "@HD" 98, another feed 96); `name` (equal normalised names 95, but for blanks 94, the
    id's first part 91); `core` (but for words such as "TV", numbers as digits: 92); `latin` (the same in another
    script: 90); `fuzzy` (only spelling differs; the likeness). Two that fit alike are told apart by country; when that
    does not decide, there is no match, unless they are one name from one country: then the guide's first. A "+1"
    whose guide is missing gets its base channel's, 60 minutes later.
    """
    wanted = list(lineup_channels)
    guide = _GuideIndex(guide_channels)
    asked = [_Wanted.read(one) for one in wanted]
    home = _home(asked)
    found: dict[str, Match] = {}
    for one, channel in zip(asked, wanted, strict=True):
        decided = _decide(one, guide, home)
        if channel.id in pins:
            pinned = pins[channel.id]
            near = [other for other in _all_of(decided) if other.guide_channel_id != pinned]
            decided = Match(pinned, "pin", 100.0, tuple(near[:MOST_RUNNERS_UP]))
        found[channel.id] = decided
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A lineup channel taken apart."""

    tvg_id: str
    name: ReadName
    station: str | None
    regions: frozenset[str]

    @classmethod
    def read(cls, channel: LineupChannel) -> "_Wanted":
        name = read_name(channel.name)
        tvg_id = (channel.tvg_id or "").strip()
        country = id_parts(tvg_id)[1]
        of_id = frozenset((country,) if country else ())
        regions = name.regions or of_id or regions_of_group(channel.group or "")
        return cls(tvg_id, name, call_sign(channel.name), regions)


Positions = dict[str, list[int]]


class _GuideIndex:
    """The guide's channels by all that their ids and names are made of; a channel stands as its position."""

    def __init__(self, channels: Iterable[GuideChannel]) -> None:
        self.channels = list(channels)
        self.places = {channel.id: at for at, channel in enumerate(self.channels)}
        self.regions: list[frozenset[str]] = []
        self.keys_of: list[frozenset[str]] = []
        self.folded: Positions = {}
        self.feedless: Positions = {}
        """Ids with a feed that tells only quality ("@HD"), without it."""
        self.key: Positions = {}
        self.joined: Positions = {}
        self.stem: Positions = {}
        self.core: Positions = {}
        self.latin: Positions = {}
        self.station: Positions = {}
        self.text: Positions = {}
        """What likeness is measured on: the core words, joined by blanks."""
        for at, channel in enumerate(self.channels):
            self._add(at, channel)
        self.sharing: dict[str, list[str]] = defaultdict(list)
        """The first letters of a word, and the texts that have such a word."""
        for text in self.text:
            for start in _starts(text):
                self.sharing[start].append(text)

    def _add(self, at: int, channel: GuideChannel) -> None:
        texts = [name for name in dict.fromkeys((channel.display_name, *channel.names)) if name]
        names = [read_name(name) for name in texts]
        regions = {code for name in names for code in name.regions}
        for xmltv_id in dict.fromkeys((channel.name, *channel.ids)):
            stem, country, feed = id_parts(xmltv_id)
            regions.update([country] if country else [])
            _put(self.folded, _folded(xmltv_id), at)
            if feed is not None and is_quality(feed):
                _put(self.feedless, _folded(xmltv_id.partition("@")[0]), at)
            if not stem.isdigit():
                _put(self.stem, _joined(read_name(stem)), at)
        for text in texts:
            _put(self.station, call_sign(text) or "", at)
        for name in names:
            _put(self.key, name.key, at)
            _put(self.joined, _joined(name), at)
            if name.notes:
                continue
            _put(self.core, _core(name), at)
            _put(self.latin, latin(_core(name)) + _hours(name), at)
            _put(self.text, _text(name), at)
        self.regions.append(frozenset(regions))
        self.keys_of.append(frozenset(name.key for name in names))

    def ids_of(self, at: int) -> set[str]:
        """A channel's ids, as they are written."""
        channel = self.channels[at]
        return {one.strip() for one in (channel.name, *channel.ids)}


def _put(table: Positions, key: str, at: int) -> None:
    if key:
        places = table.setdefault(key, [])
        if not places or places[-1] != at:
            places.append(at)


def _folded(xmltv_id: str) -> str:
    """Ids are one when they differ in case and blanks only."""
    return "".join(xmltv_id.split()).casefold()


def _hours(name: ReadName) -> str:
    return f"+{name.shift_hours}" if name.shift_hours else ""


def _joined(name: ReadName) -> str:
    return "".join((*name.words, *name.notes)) + _hours(name)


def _core(name: ReadName) -> str:
    return "".join(name.core) + _hours(name)


def _text(name: ReadName) -> str:
    return " ".join((*name.core, *([_hours(name)] if name.shift_hours else [])))


def _starts(text: str) -> set[str]:
    return {word[:4] for word in text.split()}


# ---- deciding --------------------------------------------------------------------------------------------------------


def _decide(wanted: _Wanted, guide: _GuideIndex, home: str | None) -> Match:
    by_id = _by_id(wanted, guide)
    if by_id is not None and not wanted.name.shift_hours:
        return by_id
    own = _by_name(wanted, wanted.name, guide, home)
    if wanted.name.shift_hours in SHIFTS_H:
        return _shifted(wanted, by_id, own, guide, home)
    return by_id or own or _fuzzy(wanted, wanted.name, guide)


def _shifted(wanted: _Wanted, by_id: Match | None, own: Match | None, guide: _GuideIndex, home: str | None) -> Match:
    """For a "+1": its own guide, else the base channel's, later. Many sources give a "+1" its base channel's id."""
    later = 60 * wanted.name.shift_hours
    if by_id is not None and by_id.guide_channel_id is not None and _is_shifted(by_id.guide_channel_id, guide):
        return by_id
    if own is not None:
        return own
    if by_id is not None:
        return replace(by_id, shift_minutes=later)
    base = replace(wanted.name, shift_hours=0)
    found = _by_name(wanted, base, guide, home)
    if found is None:
        found = _fuzzy(wanted, wanted.name, guide)
        if found.guide_channel_id is not None:
            return found
        found = _fuzzy(wanted, base, guide)
    return replace(found, shift_minutes=later) if found.guide_channel_id is not None else found


def _is_shifted(channel_id: int, guide: _GuideIndex) -> bool:
    at = guide.places[channel_id]
    texts = (guide.channels[at].name, *guide.channels[at].ids, *guide.keys_of[at])
    return any(read_name(text).shift_hours for text in texts)


def _by_id(wanted: _Wanted, guide: _GuideIndex) -> Match | None:
    """The guide channel with the lineup channel's guide id; of several the one called alike, else the first."""
    if not wanted.tvg_id:
        return None
    folded = _folded(wanted.tvg_id)
    base, _, feed = folded.partition("@")
    same = guide.folded.get(folded, [])
    exact = [at for at in same if wanted.tvg_id in guide.ids_of(at)]
    steps = [(ID, exact), (ID_FOLDED, same)]
    if not feed or is_quality(feed):
        steps.append((ID_QUALITY, guide.feedless.get(base, []) or guide.folded.get(base, [])))
    else:
        steps.append((ID_FEED, guide.folded.get(base, []) or guide.feedless.get(base, [])))
    for score, places in steps:
        if places:
            best = max(places, key=lambda at: (wanted.name.key in guide.keys_of[at], -at))
            return _match(guide, "id", score, best, [(at, ID_FOLDED) for at in same if at != best])
    return None


def _by_name(wanted: _Wanted, name: ReadName, guide: _GuideIndex, home: str | None) -> Match | None:
    """The guide channel called the same; steps from the surest key to the weakest, the first that decides."""
    stem, _, _ = id_parts(wanted.tvg_id)
    of_id = _joined(replace(read_name(stem), shift_hours=name.shift_hours)) if stem and not stem.isdigit() else ""
    core, station = _core(name), wanted.station or ""
    same_script = guide.core.get(core, [])
    other_script = [at for at in guide.latin.get(latin(core) + _hours(name), []) if at not in same_script]
    steps = (
        ("name", NAME, guide.key.get(name.key), True),
        ("name", JOINED, guide.joined.get(_joined(name)), True),
        ("core", CORE, same_script, len(core) >= CORE_LONG),
        ("name", STEM, guide.stem.get(_joined(name)), True),
        ("name", STEM, guide.joined.get(of_id), True),
        ("station", STATION, guide.station.get(station), True),
        ("latin", LATIN, other_script, len(core) >= LATIN_LONG),
    )
    for method, score, places, telling in steps:
        best = _told_apart(places, wanted.regions, guide, home) if places else None
        if places and best is not None and (telling or wanted.regions & guide.regions[best]):
            return _match(guide, method, score, best, [(at, score) for at in places if at != best])
    return None


def _told_apart(places: Sequence[int], regions: frozenset[str], guide: _GuideIndex, home: str | None) -> int | None:
    """Of channels that fit alike the one from the right country, None when that does not decide."""
    fitting = [at for at in places if regions & guide.regions[at]]
    fitting = fitting or [at for at in places if not regions or not guide.regions[at]]
    countries = {code for at in fitting for code in guide.regions[at]}
    if len(countries) > 1 and not regions:
        fitting = [at for at in fitting if home in guide.regions[at]]
    if not fitting:
        return None
    return fitting[0] if _one_channel([guide.channels[at] for at in fitting], fitting, guide) else None


def _one_channel(channels: Sequence[GuideChannel], places: Sequence[int], guide: _GuideIndex) -> bool:
    """Whether guide channels that fit alike are one: they share a name, and no provider has two called just the same.

    Two providers have each their own "BBC One", and one has "BBC One" and "BBC One HD"; but two "History" of one
    provider are two channels.
    """
    if not frozenset.intersection(*(guide.keys_of[at] for at in places)):
        return len(places) == 1
    called = [(provider, one.display_name.casefold()) for one in channels for provider in set(one.providers)]
    return len(called) == len(set(called))


def _home(asked: Iterable[_Wanted]) -> str | None:
    """The country that most channels of a lineup which name one are from, if there is such a one."""
    counted = Counter(code for one in asked for code in one.regions)
    if not counted:
        return None
    (code, times), total = counted.most_common(1)[0], sum(counted.values())
    return code if times > total * HOME_SHARE else None


def _match(
    guide: _GuideIndex, method: str | None, score: float, best: int, others: Iterable[tuple[int, float]]
) -> Match:
    near = tuple(Candidate(guide.channels[at].id, round(near, 1)) for at, near in others)[:MOST_RUNNERS_UP]
    return Match(guide.channels[best].id, method, round(score, 1), near)


def _all_of(decided: Match) -> list[Candidate]:
    """The match and its runners-up."""
    best = [] if decided.guide_channel_id is None else [Candidate(decided.guide_channel_id, decided.score)]
    return [*best, *decided.runners_up]


# ---- likeness --------------------------------------------------------------------------------------------------------


def _fuzzy(wanted: _Wanted, name: ReadName, guide: _GuideIndex) -> Match:
    """The one guide channel whose name differs in spelling only; without one, those that come near."""
    text = _text(name)
    near = _nearest(text, wanted.regions, guide)
    if near:
        best, score, theirs = near[0]
        telling = len(text.replace(" ", "")) >= FUZZY_LONG or bool(wanted.regions & guide.regions[best])
        second = near[1][1] if len(near) > 1 else 0.0
        if telling and score >= FUZZY_LEAST and score - second >= FUZZY_MARGIN and _only_spelling(text, theirs):
            return _match(guide, "fuzzy", score, best, [(at, near_score) for at, near_score, _ in near[1:]])
    return Match(
        None,
        None,
        0.0,
        tuple(Candidate(guide.channels[at].id, round(score, 1)) for at, score, _ in near[:MOST_RUNNERS_UP]),
    )


def _nearest(text: str, regions: frozenset[str], guide: _GuideIndex) -> list[tuple[int, float, str]]:
    """Channels (position, likeness, their text) by falling likeness, at most one entry each; other countries' go."""
    texts: Counter[str] = Counter()
    for start in sorted(_starts(text), key=lambda start: len(guide.sharing.get(start, ()))):
        sharing = guide.sharing.get(start, ())
        if texts and len(texts) + len(sharing) > MOST_COMPARED:
            break
        texts.update(sharing[:MOST_COMPARED])
    found: dict[int, tuple[int, float, str]] = {}
    for theirs, score, _ in process.extract(
        text, list(texts), scorer=fuzz.token_sort_ratio, score_cutoff=NEAR_LEAST, limit=2 * MOST_RUNNERS_UP
    ):
        for at in guide.text[theirs]:
            if not regions or not guide.regions[at] or regions & guide.regions[at]:
                found.setdefault(at, (at, score, theirs))
    return list(found.values())


def _only_spelling(one: str, other: str) -> bool:
    """Whether two names can be the same channel: equal numbers, and word by word the same or nearly so."""
    if numbers(one) != numbers(other):
        return False
    mine, theirs = one.split(), other.split()
    return len(mine) == len(theirs) and all(_one_word(*pair) for pair in zip(mine, theirs, strict=True))


def _one_word(one: str, other: str) -> bool:
    """Whether two words are one, spelt differently."""
    if one == other:
        return True
    long = min(len(one), len(other)) >= WORD_SHORTEST
    return long and one[0] == other[0] and fuzz.ratio(one, other) >= WORD_LEAST
