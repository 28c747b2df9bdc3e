"""One programme whole: every element and attribute of the XMLTV DTD, as frozen values."""

from dataclasses import dataclass
from typing import TypeAlias

from epg_service.xmltv.elements import Node, tree

CREDIT_KINDS = (
    "director", "actor", "writer", "adapter", "producer", "composer", "editor", "presenter", "commentator", "guest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its language (RFC 3066 code as the feed wrote it)."""

    value: str
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class Icon:
    """`<icon>`: address and size in pixels where the feed gave one."""

    src: str
    width: str | None = None
    height: str | None = None


@dataclass(frozen=True, slots=True)
class Url:
    """`<url>`: an address and the system it belongs to."""

    value: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """`<image>`: type poster, backdrop, still, person or character; size 1 to 3; orient P or L."""

    value: str
    type: str | None = None
    size: str | None = None
    orient: str | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """One person: kind (director, actor …), name, and for actors the role and whether a guest."""

    kind: str
    name: str
    role: str | None = None
    guest: str | None = None
    images: tuple[Image, ...] = ()
    urls: tuple[Url, ...] = ()


@dataclass(frozen=True, slots=True)
class Length:
    """`<length>`: without advertisements, in seconds, minutes or hours."""

    value: str
    units: str | None


@dataclass(frozen=True, slots=True)
class EpisodeNum:
    """`<episode-num>`: system is "onscreen" where the feed names none, as the DTD says."""

    value: str
    system: str


@dataclass(frozen=True, slots=True)
class Video:
    """`<video>`: texts as the feed wrote them."""

    present: str | None = None
    colour: str | None = None
    aspect: str | None = None
    quality: str | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """`<audio>`: texts as the feed wrote them."""

    present: str | None = None
    stereo: str | None = None


@dataclass(frozen=True, slots=True)
class PreviouslyShown:
    """`<previously-shown>`: a repeat, with when and where where known."""

    start: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Subtitles:
    """`<subtitles>`: teletext, onscreen or deaf-signed, and the language."""

    type: str | None = None
    language: Text | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """`<rating>` and `<star-rating>`."""

    value: str
    system: str | None = None
    icons: tuple[Icon, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """`<review>`: a text, or the address of one."""

    value: str
    type: str | None = None
    source: str | None = None
    reviewer: str | None = None
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class Programme:
    """Everything an XMLTV `<programme>` can say; texts with blanks folded, times as the feed wrote them.

    The properties below the fields are what the founding API shows: the first of several, or all joined.
    """

    start: str
    stop: str | None
    channel: str
    pdc_start: str | None
    vps_start: str | None
    showview: str | None
    videoplus: str | None
    clumpidx: str | None
    titles: tuple[Text, ...]
    sub_titles: tuple[Text, ...]
    descs: tuple[Text, ...]
    credits: tuple[Credit, ...]
    date: str | None
    categories: tuple[Text, ...]
    keywords: tuple[Text, ...]
    language: Text | None
    orig_language: Text | None
    length: Length | None
    icons: tuple[Icon, ...]
    urls: tuple[Url, ...]
    countries: tuple[Text, ...]
    episode_nums: tuple[EpisodeNum, ...]
    video: Video | None
    audio: Audio | None
    previously_shown: PreviouslyShown | None
    premiere: Text | None
    last_chance: Text | None
    new: bool
    subtitles: tuple[Subtitles, ...]
    ratings: tuple[Rating, ...]
    star_ratings: tuple[Rating, ...]
    reviews: tuple[Review, ...]
    images: tuple[Image, ...]

    @property
    def title(self) -> str:
        """The first title that is not empty, or ""."""
        return _first(self.titles) or ""

    @property
    def subtitle(self) -> str | None:
        """The first sub-title (episode title)."""
        return _first(self.sub_titles)

    @property
    def description(self) -> str | None:
        """The first description."""
        return _first(self.descs)

    @property
    def category(self) -> str | None:
        """All categories, joined by ", "."""
        return _joined([category.value for category in self.categories])

    @property
    def episode_num(self) -> str | None:
        """The first episode number that people read (onscreen), else the first of any system."""
        numbers = [number for number in self.episode_nums if number.value]
        onscreen = [number for number in numbers if number.system == "onscreen"]
        return (onscreen or numbers)[0].value if numbers else None

    @property
    def rating(self) -> str | None:
        """The first age rating."""
        return next((rating.value for rating in self.ratings if rating.value), None)

    @property
    def actors(self) -> str | None:
        """The names of all actors, joined by ", "."""
        return self._people("actor")

    @property
    def directors(self) -> str | None:
        """The names of all directors, joined by ", "."""
        return self._people("director")

    @property
    def icon_url(self) -> str | None:
        """The first icon's address, else that of the first image."""
        addresses = [icon.src for icon in self.icons] + [image.value for image in self.images]
        return next((address for address in addresses if address), None)

    def _people(self, kind: str) -> str | None:
        return _joined([credit.name for credit in self.credits if credit.kind == kind])


def _first(texts: tuple[Text, ...]) -> str | None:
    return next((text.value for text in texts if text.value), None)


def _joined(values: list[str]) -> str | None:
    return ", ".join(dict.fromkeys(value for value in values if value)) or None


_Groups: TypeAlias = dict[str, list[Node]]


def _grouped(node: Node) -> _Groups:
    groups: _Groups = {}
    for child in node.nodes():
        groups.setdefault(child.name, []).append(child)
    return groups


def _text(node: Node) -> Text:
    return Text(node.text(), node.attributes.get("lang"))


def _texts(groups: _Groups, name: str) -> tuple[Text, ...]:
    return tuple(_text(node) for node in groups.get(name, ()))


def _one(groups: _Groups, name: str) -> Text | None:
    nodes = groups.get(name)
    return _text(nodes[0]) if nodes else None


def _plain(groups: _Groups, name: str) -> str | None:
    nodes = groups.get(name)
    return nodes[0].text() or None if nodes else None


def _icons(groups: _Groups) -> tuple[Icon, ...]:
    found = (node.attributes for node in groups.get("icon", ()))
    return tuple(Icon(a.get("src", "").strip(), a.get("width"), a.get("height")) for a in found)


def _urls(groups: _Groups) -> tuple[Url, ...]:
    return tuple(Url(node.text(), node.attributes.get("system")) for node in groups.get("url", ()))


def _images(groups: _Groups) -> tuple[Image, ...]:
    keys = ("type", "size", "orient", "system")
    return tuple(Image(node.text(), *map(node.attributes.get, keys)) for node in groups.get("image", ()))


def _credits(groups: _Groups) -> tuple[Credit, ...]:
    people = []
    for wrapper in groups.get("credits", ()):
        for node in wrapper.nodes():
            if node.name in CREDIT_KINDS:
                inside = _grouped(node)
                name = node.own_text() if "image" in inside or "url" in inside else node.text()
                role, guest = node.attributes.get("role"), node.attributes.get("guest")
                people.append(Credit(node.name, name, role, guest, _images(inside), _urls(inside)))
    return tuple(people)


def _length(groups: _Groups) -> Length | None:
    nodes = groups.get("length")
    return Length(nodes[0].text(), nodes[0].attributes.get("units")) if nodes else None


def _video(groups: _Groups) -> Video | None:
    if not (nodes := groups.get("video")):
        return None
    inside = _grouped(nodes[0])
    return Video(*(_plain(inside, name) for name in ("present", "colour", "aspect", "quality")))


def _audio(groups: _Groups) -> Audio | None:
    if not (nodes := groups.get("audio")):
        return None
    inside = _grouped(nodes[0])
    return Audio(_plain(inside, "present"), _plain(inside, "stereo"))


def _previously_shown(groups: _Groups) -> PreviouslyShown | None:
    nodes = groups.get("previously-shown")
    return PreviouslyShown(nodes[0].attributes.get("start"), nodes[0].attributes.get("channel")) if nodes else None


def _subtitles(groups: _Groups) -> tuple[Subtitles, ...]:
    nodes = groups.get("subtitles", ())
    return tuple(Subtitles(node.attributes.get("type"), _one(_grouped(node), "language")) for node in nodes)


def _ratings(groups: _Groups, name: str) -> tuple[Rating, ...]:
    found = []
    for node in groups.get(name, ()):
        inside = _grouped(node)
        # The DTD wants a <value>; feeds that write <rating>12</rating> are understood too.
        value = _plain(inside, "value") if "value" in inside else node.own_text()
        found.append(Rating(value or "", node.attributes.get("system"), _icons(inside)))
    return tuple(found)


def _reviews(groups: _Groups) -> tuple[Review, ...]:
    keys = ("type", "source", "reviewer", "lang")
    return tuple(Review(node.text(), *map(node.attributes.get, keys)) for node in groups.get("review", ()))


def details(raw: bytes) -> Programme:
    """Read one whole programme from the bytes of its element.

    Raises ValueError when the bytes are not one well-formed element.
    """
    root = tree(raw)
    get, groups = root.attributes.get, _grouped(root)
    return Programme(
        start=get("start", ""),
        stop=get("stop"),
        channel=get("channel", "").strip(),
        pdc_start=get("pdc-start"),
        vps_start=get("vps-start"),
        showview=get("showview"),
        videoplus=get("videoplus"),
        clumpidx=get("clumpidx"),
        titles=_texts(groups, "title"),
        sub_titles=_texts(groups, "sub-title"),
        descs=_texts(groups, "desc"),
        credits=_credits(groups),
        date=_plain(groups, "date"),
        categories=_texts(groups, "category"),
        keywords=_texts(groups, "keyword"),
        language=_one(groups, "language"),
        orig_language=_one(groups, "orig-language"),
        length=_length(groups),
        icons=_icons(groups),
        urls=_urls(groups),
        countries=_texts(groups, "country"),
        episode_nums=tuple(
            EpisodeNum(node.text(), node.attributes.get("system", "onscreen")) for node in groups.get("episode-num", ())
        ),
        video=_video(groups),
        audio=_audio(groups),
        previously_shown=_previously_shown(groups),
        premiere=_one(groups, "premiere"),
        last_chance=_one(groups, "last-chance"),
        new="new" in groups,
        subtitles=_subtitles(groups),
        ratings=_ratings(groups, "rating"),
        star_ratings=_ratings(groups, "star-rating"),
        reviews=_reviews(groups),
        images=_images(groups),
    )
