"""How good matching is, measured on real names and ids of known truth (fixtures/matching); `-rP` shows the figures."""

import gzip
import os
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from epg_service.domain.entities import LineupChannel
from epg_service.domain.matching import match
from epg_service.domain.model import GuideChannel

CORPUS = Path(os.environ.get("AERIAL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
SETS = Path(__file__).parents[1] / "fixtures" / "matching"


@dataclass
class Labelled:
    """A guide and a lineup; two channels are one when their labels are equal."""

    guide: list[GuideChannel] = field(default_factory=list)
    lineup: list[LineupChannel] = field(default_factory=list)
    guide_labels: dict[int, str] = field(default_factory=dict)
    lineup_labels: dict[str, str] = field(default_factory=dict)

    def add_guide(self, label: str, name: str) -> None:
        number = len(self.guide) + 1
        self.guide.append(GuideChannel(number, label, name))
        self.guide_labels[number] = label

    def add_lineup(self, label: str, name: str, tvg_id: str, group: str) -> None:
        number = str(len(self.lineup))
        self.lineup.append(LineupChannel(number, name, tvg_id, group=group))
        self.lineup_labels[number] = label

    def with_guide(self, change: Callable[[GuideChannel], GuideChannel]) -> "Labelled":
        return replace(self, guide=[change(one) for one in self.guide])

    def with_lineup(self, change: Callable[[LineupChannel], LineupChannel]) -> "Labelled":
        return replace(self, lineup=[change(one) for one in self.lineup])


@dataclass
class Quality:
    """What a match of a labelled set got right."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    possible: int = 0

    def precision(self, *methods: str) -> float:
        chosen = methods or tuple(self.right | self.wrong)
        right, wrong = sum(self.right[one] for one in chosen), sum(self.wrong[one] for one in chosen)
        return right / (right + wrong) if right + wrong else 1.0

    @property
    def recall(self) -> float:
        return sum(self.right.values()) / self.possible

    def show(self, title: str, asked: int) -> None:
        lines = [f"{title}: {asked} lineup channels, {self.possible} of them in the guide"]
        for method in sorted(self.right | self.wrong):
            figures = f"{self.right[method]:6d} right {self.wrong[method]:4d} wrong"
            lines.append(f"  {method:8s}{figures}  precision {self.precision(method):.4f}")
        lines.append(f"  together  precision {self.precision():.4f}  recall {self.recall:.4f}")
        sys.stdout.write("\n".join(lines) + "\n")


def measured(title: str, labelled: Labelled) -> Quality:
    found = match(labelled.lineup, labelled.guide, {})
    quality, there = Quality(), set(labelled.guide_labels.values())
    for one in labelled.lineup:
        label, decided = labelled.lineup_labels[one.id], found[one.id]
        quality.possible += label in there
        if decided.guide_channel_id is not None and decided.method is not None:
            right = labelled.guide_labels[decided.guide_channel_id] == label
            (quality.right if right else quality.wrong)[decided.method] += 1
    quality.show(title, len(labelled.lineup))
    return quality


def read(name: str) -> Labelled:
    labelled = Labelled()
    for line in (SETS / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        kind, label, *rest = line.split("\t")
        if kind == "G":
            labelled.add_guide(label, rest[0])
        else:
            tvg_id, name_, group = rest
            labelled.add_lineup(label, name_, tvg_id, group)
    return labelled


@pytest.fixture(scope="module")
def world() -> Labelled:
    """18,000 public streams of the world: 8,800 guide channels, two fifths of the lineup without a guide."""
    return read("world")


def opaque(one: GuideChannel) -> GuideChannel:
    """The guide channel under an id that tells only its country."""
    return replace(one, name=f"{one.id}.{one.name.rpartition('.')[2]}")


def unnamed(one: LineupChannel) -> LineupChannel:
    return replace(one, tvg_id="")


def test_ids_that_are_equal_are_always_right(world: Labelled) -> None:
    quality = measured("world, by id", world.with_guide(lambda one: replace(one, name=one.name.upper())))
    assert quality.precision("id") == 1.0
    assert quality.recall == 1.0


def test_names_are_right_where_countries_are_known(world: Labelled) -> None:
    quality = measured("world, by name and country", world.with_guide(opaque).with_lineup(unnamed))
    assert quality.precision("name") >= 0.98
    assert quality.precision("name", "core", "latin", "station") >= 0.98
    assert quality.precision() >= 0.98
    assert quality.recall >= 0.74  # of the others most are other feeds ("Fox West") under the same label


def test_names_alone_of_the_whole_world_are_mostly_right(world: Labelled) -> None:
    """The hardest case there is: no ids, no countries, every country's channels, two fifths without a guide."""
    nothing = world.with_guide(lambda one: replace(one, name=str(one.id)))
    quality = measured("world, by name alone", nothing.with_lineup(lambda one: replace(one, tvg_id="", group="")))
    assert quality.precision("name") >= 0.92
    assert quality.recall >= 0.67


def test_one_panels_names_find_its_own_guide() -> None:
    quality = measured("panel", read("panel").with_guide(lambda one: replace(one, name=str(one.id))))
    assert quality.precision("name") >= 0.99
    assert quality.precision("station") >= 0.98
    assert quality.precision("fuzzy") >= 0.9
    assert quality.precision() >= 0.99
    assert quality.recall >= 0.82


DECORATIONS = ("{}| {} HD", "[{}] {} ᶠᴴᴰ", "{} - {} 4K [backup]", "({}) {} HEVC 1080p", "|{}| {} (720p)", "{} ★ {} RAW")


def test_what_providers_add_to_a_name_changes_nothing(world: Labelled) -> None:
    decorated = replace(world, lineup=[], lineup_labels={})
    for at, one in enumerate(world.guide):
        country = one.name.rpartition(".")[2].upper()
        name = DECORATIONS[at % len(DECORATIONS)].format(country, one.display_name.upper())
        decorated.add_lineup(one.name, name, "", "")
    quality = measured("decorated names", decorated.with_guide(opaque))
    assert quality.precision() >= 0.99
    assert quality.recall >= 0.93


def channels_of(path: Path) -> Iterator[tuple[str, str]]:
    """(id, name) of each channel of a guide file."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        for _, element in ET.iterparse(stream):
            if element.tag == "channel":
                yield element.attrib["id"], element.findtext("display-name") or ""
            elif element.tag == "programme":
                element.clear()


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus of real files beside the checkout (AERIAL_CORPUS)")
def test_the_channels_of_real_guides_are_found_by_what_panels_call_them() -> None:
    files = ("Foxtel/epg.xml", "PlutoTV/fr.xml", "all/epg.xml.gz")
    channels = [one for file in files for one in channels_of(CORPUS / "matthuisman-i.mjh.nz" / file)]
    called = Counter(name.casefold() for _, name in channels)
    labelled = Labelled()
    for at, (label, name) in enumerate(channels):
        labelled.add_guide(label, name)
        if called[name.casefold()] == 1:
            labelled.add_lineup(label, DECORATIONS[at % len(DECORATIONS)].format("NZ", name.upper()), "", "")
    quality = measured("real guides", labelled)
    assert quality.possible > 300
    assert quality.precision() >= 0.98
    assert quality.recall >= 0.95


def misspelt(world: Labelled) -> Iterator[tuple[str, str]]:
    """Every twelfth long name of the guide with one letter missing inside a long word: (label, name)."""
    for one in world.guide[::12]:
        words = one.display_name.split()
        long = [at for at, word in enumerate(words) if len(word) > 6 and word.isalpha()]
        if long and len(one.display_name) > 10:
            words[long[0]] = words[long[0]][:3] + words[long[0]][4:]
            yield one.name, " ".join(words)


def test_misspelt_names_are_found_or_left_open(world: Labelled) -> None:
    labelled = replace(world, lineup=[], lineup_labels={})
    for label, name in misspelt(world):
        labelled.add_lineup(label, name, "", label.rpartition(".")[2])
    quality = measured("one letter missing", labelled.with_guide(opaque))
    assert len(labelled.lineup) > 200
    assert quality.precision("fuzzy") >= 0.97
    assert quality.recall >= 0.75


def test_the_sets_are_large_enough_to_mean_something(world: Labelled) -> None:
    assert len(world.guide) > 8_000 and len(world.lineup) > 4_000
    assert len(read("panel").lineup) > 1_000
