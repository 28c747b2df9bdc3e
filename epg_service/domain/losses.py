"""What a run left out or had to mend: counted by kind with a few samples, and warnings about the whole file."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

MAX_SAMPLES = 5
MAX_SAMPLE_CHARS = 200

KINDS: dict[str, str] = {
    "unreadable_start": "The start time is missing or cannot be read, so the programme has no place in the guide.",
    "no_channel": "The programme names no channel.",
    "broken": "The element is not well formed and could not be mended without guessing.",
    "too_large": "The element is larger than the limit for one element, and not by a text that could be cut.",
    "cut_off": "The file ends in the middle of this programme.",
    "double": "The same programme (channel, start, stop, title) stands in the file more than once.",
    "crowded": "More than eight programmes start on this channel at the same instant.",
    "outside_retention_past": "The programme ended before the window that is kept.",
    "outside_retention_future": "The programme starts after the window that is kept.",
    "rejected": "The programme could be kept, but the file was refused as a whole (see `error_message`).",
}
"""Kinds that cost a programme: their sum is what the file held and the guide does not."""

NOTES: dict[str, str] = {
    "repaired": "The element was not well formed; it was mended without touching its structure and kept.",
    "capped": 'The element is larger than the limit for one element; a text in it was cut, and ends in "…".',
    "cut_behind": "Elements stood behind the text that was cut; they are lost with it. The samples name them.",
    "nested": "Elements are nested deeper than 32 levels, in a programme of over 4 KiB; of those below, text is kept.",
    "missing_stop": "No readable stop time: it was taken from the next programme, or from a usual length.",
    "backward_stop": "The stop time lay before the start and was replaced like a missing one.",
    "zero_length": "Start and stop are the same instant; kept, but only shown where nothing longer stands.",
    "overlong": "The programme lasts over 24 hours; kept as it is.",
    "no_title": "The programme has no title; kept, and shown with a placeholder.",
    "channel_without_id": "A channel element without an id; left out.",
    "broken_channel": "A channel element that is not well formed or too large; left out.",
    "junk": "Something that is no element stood between two elements and was skipped.",
}
"""Kinds that cost no programme: what was noticed or mended on the way."""


WARNINGS: dict[str, str] = {
    "truncated": "The file, its download or what it is packed in ends early; what stood whole before that was read.",
    "corrupt": "The packed data are damaged, or their checksum is wrong; what came before was read.",
    "encoding": "The file is in another encoding than it says; its bytes were believed.",
    "undecodable": "Some bytes mean nothing in the encoding of the file; they were replaced by U+FFFD.",
    "preamble": "Something stands before the guide (a PHP warning, a blank page); it was skipped.",
    "broken_root": "The `<tv>` tag is not well formed; its attributes were skipped.",
    "stale": "Every programme of the file is over; it was taken for want of a better one.",
    "second_document": "A second guide follows the first in the file; only the first was read.",
    "trailing_junk": "Something that is no guide follows the guide or its packing; it was left out.",
    "several_guides": "The archive holds several guides; the first was read.",
    "unknown_zone": "Some times name a zone that nobody knows; they were read in the provider's own zone.",
}
"""Words of warnings about a whole file."""


def called(title: str, start_s: int, channel: str = "") -> str:
    """A programme as a sample: without a title, channel and start are what it can be found by."""
    where = f"channel {channel!r}, " if channel else ""
    return title or f"{where}without a title, at {datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(slots=True)
class _Tally:
    count: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, n: int, samples: list[str]) -> None:
        self.count += n
        for sample in samples:
            if sample and len(self.samples) < MAX_SAMPLES and sample not in self.samples:
                self.samples.append(sample)


class Losses:
    """A ledger of one run. `KINDS` cost programmes and make up `total`; `NOTES` do not. Unknown kinds are an error."""

    __slots__ = ("_tallies", "_warnings")

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._warnings: dict[str, str] = {}

    def add(self, kind: str, sample: str = "", n: int = 1) -> None:
        """Count `n` cases of `kind` (a word of KINDS or NOTES); the first five different samples are kept."""
        if kind not in KINDS and kind not in NOTES:
            raise ValueError(f"{kind!r} is no documented kind of loss")
        if n > 0:
            self._tallies.setdefault(kind, _Tally()).add(n, [sample[:MAX_SAMPLE_CHARS]])

    def warn(self, word: str, text: str = "") -> None:
        """Note something about the whole file: a short word for programs, a sentence for people. Said once a word."""
        self._warnings.setdefault(word, text[:MAX_SAMPLE_CHARS])

    def count(self, kind: str) -> int:
        """How often `kind` was counted."""
        tally = self._tallies.get(kind)
        return tally.count if tally else 0

    def wants_samples(self, kind: str) -> bool:
        """Whether fewer samples of `kind` are known than are told."""
        tally = self._tallies.get(kind)
        return tally is None or len(tally.samples) < MAX_SAMPLES

    def total(self) -> int:
        """Programmes lost: the sum of all kinds of KINDS."""
        return sum(tally.count for kind, tally in self._tallies.items() if kind in KINDS)

    def entries(self) -> int:
        """How much was counted of any kind, notes included."""
        return sum(tally.count for tally in self._tallies.values())

    @property
    def warnings(self) -> list[str]:
        """The words warned of, in the order they came."""
        return list(self._warnings)

    @property
    def warning_texts(self) -> dict[str, str]:
        """The words warned of, each with its sentence."""
        return dict(self._warnings)

    def as_dict(self) -> dict[str, dict[str, object]]:
        """`{kind: {"count": n, "samples": [...]}}` of what was lost; JSON-ready."""
        return self._shaped(KINDS)

    def notes_dict(self) -> dict[str, dict[str, object]]:
        """The same shape for what was only noticed or mended."""
        return self._shaped(NOTES)

    def _shaped(self, table: dict[str, str]) -> dict[str, dict[str, object]]:
        return {
            kind: {"count": self._tallies[kind].count, "samples": list(self._tallies[kind].samples)}
            for kind in table
            if kind in self._tallies
        }

    def merged(self, other: "Losses") -> "Losses":
        """A new ledger holding both."""
        both = Losses()
        for ledger in (self, other):
            for kind, tally in ledger._tallies.items():
                both._tallies.setdefault(kind, _Tally()).add(tally.count, tally.samples)
            for word, text in ledger._warnings.items():
                both.warn(word, text)
        return both
