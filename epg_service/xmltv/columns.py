"""From whole elements to records: rows on their way into batches, titles, channels."""

import re

from epg_service.domain.days import digests_of
from epg_service.domain.losses import Losses
from epg_service.xmltv.elements import Node, folded, tree
from epg_service.xmltv.form import flags_of
from epg_service.xmltv.records import Batch, ChannelElement, Item
from epg_service.xmltv.times import Stamps

BATCH_ROWS = 500
BATCH_BYTES = 1024 * 1024

_TITLE = re.compile(
    rb"<programme[^>]*+>\s*+<title(?:\s[^>\"']*+(?:\"[^\">]*+\"|'[^'>]*+')?+)?+>([^<&\r]*+)</title\s*+>"
)


class Columns:
    """Rows on their way into batches, and everything else in its order between them."""

    def __init__(self, stamps: Stamps, losses: Losses) -> None:
        self._stamps = stamps
        self._losses = losses
        self._ready: list[Item] = []
        self._channel = ""
        self._bytes = 0
        self._rows: tuple[list[int], list[int], list[str], list[bytes]] = ([], [], [], [])

    def add(self, attributes: dict[str, str], raw: bytes) -> None:
        """One whole programme."""
        channel = attributes.get("channel", "").strip()
        try:
            start = self._stamps[attributes["start"]]
        except (KeyError, ValueError) as reason:
            text = str(reason) if isinstance(reason, ValueError) else "no start attribute"
            self._losses.add("unreadable_start", f"channel {channel[:60]!r}: {text}")
            return
        if not channel:
            self._losses.add("no_channel", f"start {attributes['start']}")
            return
        if channel != self._channel or self._bytes > BATCH_BYTES or len(self._rows[0]) >= BATCH_ROWS:
            self.cut()
            self._channel = channel
        starts, stops, titles, raws = self._rows
        starts.append(start)
        stops.append(self._stop(attributes.get("stop")))
        titles.append(title_of(raw))
        raws.append(raw)
        self._bytes += len(raw)

    def _stop(self, text: str | None) -> int:
        if not text:
            return 0
        try:
            return self._stamps[text]
        except ValueError:
            return 0

    def extend(self, batch: Batch) -> None:
        """Whole programmes of one channel, their columns read already."""
        self.cut()
        self._ready.append(batch)

    def cut(self) -> None:
        """End the batch under way."""
        if self._rows[0]:
            raws = self._rows[-1]
            self._ready.append(Batch(self._channel, *self._rows, digests_of(raws), flags_of(raws)))
            self._rows = ([], [], [], [])
            self._bytes = 0

    def put(self, item: Item) -> None:
        """Something that stands between programmes."""
        self.cut()
        self._ready.append(item)

    def take(self) -> list[Item]:
        """What is finished."""
        ready, self._ready = self._ready, []
        return ready


def title_of(raw: bytes) -> str:
    """The first title's text; by a pattern where it stands first and plain, as it does in nearly every file."""
    if match := _TITLE.match(raw):
        text = match[1].decode()
        if text.isascii() and text.isprintable() and "  " not in text:
            return text.strip()
        return folded(text)
    for node in tree(raw).nodes():
        if node.name == "title":
            return node.text()
    return ""


def channel_of(attributes: dict[str, str], raw: bytes) -> ChannelElement:
    """A `<channel>` that is well formed."""
    names: list[tuple[str | None, str]] = []
    urls: list[str] = []
    icon: str | None = None
    for node in tree(raw).nodes():
        if node.name == "display-name" and (text := node.text()):
            names.append((node.attributes.get("lang"), text))
        elif node.name == "icon" and icon is None:
            icon = _icon(node)
        elif node.name == "url" and (text := node.text()):
            urls.append(text)
    return ChannelElement(attributes.get("id", "").strip(), raw, names, icon, urls)


def _icon(node: Node) -> str | None:
    return node.attributes.get("src", "").strip() or None
