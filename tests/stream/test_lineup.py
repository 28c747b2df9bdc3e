"""Building lineups: permanent ids and numbers, stable bytes, and what is published."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stream_service.store.lineup_channels import Page
from tests.stream.sourcekit import House, playlist


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


def load(house: House, *entries: dict[str, str] | str) -> dict[str, str]:
    """Refreshes the one source with these entries and builds; returns the numbers of what stands in the lineup."""
    name = house.put(playlist(entries))
    if not house.sources.all():
        house.add(name)
    assert house.refresh(force=True).status == "success"
    house.build()
    return house.numbers()


def test_channels_get_ids_and_numbers_in_the_order_of_the_list(house: House) -> None:
    numbers = load(house, {"name": "BBC One", "tvg-id": "bbc1.uk"}, {"name": "Film", "tvg-chno": "5.1"}, "News & More")
    assert numbers == {"bbc1.uk": "1", "Film": "5.1", "News-More": "2"}


def test_entries_that_share_a_tvg_id_are_channels_of_their_own(house: House) -> None:
    same = {"tvg-id": "x.uk"}
    numbers = load(house, {"name": "A", **same}, {"name": "B", **same}, {"name": "A", **same, "tvg-id": "X.UK"})
    assert list(numbers) == ["x.uk", "x.uk-2", "X.UK-3"]


def test_ids_and_numbers_outlive_renames_new_addresses_and_another_order(house: House) -> None:
    before = load(house, {"name": "One", "tvg-id": "one.uk"}, {"name": "Two", "tvg-id": "two.uk"}, "Three")
    after = load(
        house,
        "Three",
        {"name": "Two HD", "tvg-id": "two.uk", "url": "http://new/2"},
        {"name": "Uno", "tvg-id": "one.uk", "url": "http://new/1", "tvg-chno": "99"},
    )
    assert after == before


def test_a_number_is_never_given_again(house: House) -> None:
    load(house, "A", "B")
    assert load(house, "B", "C") == {"B": "2", "C": "3"}
    assert load(house, "A", "B", "C") == {"A": "1", "B": "2", "C": "3"}


def test_an_id_is_never_given_again(house: House) -> None:
    load(house, {"name": "A", "tvg-id": "x", "url": "http://h/1"})
    load(house, {"name": "Other", "tvg-id": "y", "url": "http://h/2"})
    numbers = load(house, {"name": "Third", "tvg-id": "X", "group-title": "G", "url": "http://h/3"},
                   {"name": "A", "tvg-id": "x", "url": "http://h/1"})  # fmt: skip
    assert numbers == {"x": "1", "X-2": "3"}


def test_a_source_that_is_deleted_and_added_again_has_its_channels_again(house: House) -> None:
    before = load(house, {"name": "One", "tvg-id": "one.uk"}, "Two")
    house.sources.delete(1)
    house.build()
    assert house.numbers() == {}
    house.lists.purge_source(1)
    house.add("list.m3u", name="again")
    house.refresh(2)
    house.build()
    assert house.numbers() == before


def test_a_disabled_source_leaves_the_lineup_and_comes_back_as_it_was(house: House) -> None:
    before = load(house, "A", "B")
    house.sources.update(1, {"enabled": False})
    house.build()
    assert house.numbers() == {}
    house.sources.update(1, {"enabled": True})
    house.build()
    assert house.numbers() == before


def test_several_sources_make_one_lineup_with_one_set_of_ids(house: House) -> None:
    load(house, {"name": "News", "tvg-id": "news"})
    house.add(house.put(playlist([{"name": "News", "tvg-id": "news"}, "More"]), name="other.m3u"), name="other")
    house.lineups.change("default", lambda options: replace(options, merge="off"))
    house.refresh(2)
    house.build()
    assert house.numbers() == {"news": "1", "news-2": "2", "More": "3"}


def test_building_twice_gives_the_same_bytes_and_leaves_the_files_alone(house: House) -> None:
    load(house, "A", {"name": "B", "tvg-logo": "http://l/b.png"})
    paths = [house.files.playlist("default"), house.files.channels("default"), house.files.catalogue]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    digests = house.build()
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    assert house.build() == digests


def test_what_the_guide_service_gets_says_everything_it_matches_by(house: House) -> None:
    load(house, {"name": "A", "tvg-id": "A.uk", "tvg-chno": "5", "group-title": "G", "tvg-logo": "http://l/1.png"})
    said = json.loads(gzip.decompress(house.files.channels("default").read_bytes()))
    assert said["digest"] == house.lineups.get("default").digest
    assert said["channels"] == [
        {"id": "A.uk", "name": "A", "tvg_id": "A.uk", "number": "5", "group": "G", "logo": "http://l/1.png"}
    ]


def test_the_catalogue_is_for_our_eyes_only(house: House) -> None:
    load(house, "A")
    assert house.files.catalogue.stat().st_mode & 0o777 == 0o600


def test_an_empty_house_publishes_an_empty_lineup(house: House) -> None:
    house.build()
    assert house.files.playlist("default").read_bytes().startswith(b"#EXTM3U ")
    assert house.lineups.get("default").channels == 0


def test_a_lineup_of_thousands_is_paged_by_number(house: House) -> None:
    load(house, *(f"C{n}" for n in range(1_200)))
    seen: list[str] = []
    after = None
    while page := house.lineup_channels.page("default", Page(after=after), limit=500):
        seen += [row.number for row, _ in page]
        after = page[-1][1]
    assert seen == [str(n) for n in range(1, 1_201)]
