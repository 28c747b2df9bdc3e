"""Which entries of an M3U list are channels, movies or episodes; and what switches do to each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.sources.m3u import Playlist
from stream_service.sources.shelving import kind_of
from tests.stream.sourcekit import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


def one(text: str) -> Entry:
    """The only entry of a list."""
    (entry,) = Playlist([text.encode()], losses=Losses())
    return entry


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("#EXTINF:-1,A\nhttp://h/live/u/p/1.ts", "live", id="an Xtream path, live"),
        pytest.param("#EXTINF:-1,A\nhttp://h/movie/u/p/1.mkv", "movie", id="an Xtream path, movie"),
        pytest.param("#EXTINF:-1,A\nhttp://h/series/u/p/1.mkv", "series", id="an Xtream path, series"),
        pytest.param("#EXTINF:-1,A\n#EXT-X-PLAYLIST-TYPE:VOD\nhttp://h/x", "movie", id="a word for players"),
        pytest.param("#EXTINF:-1,Show S01E02\n#EXT-X-PLAYLIST-TYPE:vod\nhttp://h/x", "series", id="an episode's name"),
        pytest.param('#EXTINF:-1 media="true",A\nhttp://h/x', "movie", id="Kodi's word"),
        pytest.param("#EXTINF:5400,A (1999)\nhttp://h/a/film.MP4?x=1", "movie", id="a file"),
        pytest.param("#EXTINF:-1,A - 3x07 - B\nhttp://h/a.avi", "series", id="an episode as a file"),
        pytest.param("#EXTINF:-1,A S01E02\nhttp://h/a.m3u8", "live", id="a channel with such a name"),
        pytest.param("#EXTINF:-1,A\nhttp://h.mp4/a", "live", id="a host with such an end"),
        pytest.param("#EXTINF:-1,A\nrtp://239.0.0.1:5000", "live", id="multicast"),
    ],
)
def test_what_an_entry_is_is_told_by_what_stands_in_it(text: str, kind: str) -> None:
    assert kind_of(one(text)) == kind


LIST = """#EXTM3U
#EXTINF:-1,News
http://h/news.ts
#EXTINF:-1 tvg-logo="http://l/f.png" group-title="Films",Film (1999)
http://h/film.mp4
#EXTINF:-1 group-title="Shows",Show S01E01 Pilot
http://h/s1.mkv
#EXTINF:-1 group-title="Shows",Show S01E02
http://h/s2.mkv
#EXTINF:-1 group-title="Shows",Show 2x01 - Again
http://h/s3.mkv
"""


def test_movies_and_series_of_a_list_are_library_and_no_channels(house: House) -> None:
    house.add(house.put(LIST))
    run = house.refresh()
    assert (run.status, run.streams, run.entries_skipped) == ("success", 1, 0)
    assert run.report["library"] == {"movie": 1, "series": 1, "episode": 3}
    (film,) = house.library.page("movie", limit=9)
    assert (film.title.name, film.title.year, film.title.category, film.title.picture) == (
        "Film (1999)", "1999", "Films", "http://l/f.png",
    )  # fmt: skip
    address = house.library.movie_address(film.id)
    assert (address.url, address.private_ok) == ("http://h/film.mp4", True)
    (show,) = house.library.page("series", limit=9)
    episodes = [e.episode for e in house.library.episodes(show.id)]
    assert [(e.season, e.number, e.name) for e in episodes] == [(1, 1, "Pilot"), (1, 2, "Show S01E02"), (2, 1, "Again")]


def test_episodes_that_leave_the_list_leave_and_the_series_stays_itself(house: House) -> None:
    house.add(house.put(LIST))
    house.refresh()
    (show,) = house.library.page("series", limit=9)
    first = house.library.episodes(show.id)[0].id
    house.put(LIST.replace('#EXTINF:-1 group-title="Shows",Show S01E02\nhttp://h/s2.mkv\n', ""))
    house.refresh()
    assert [one.id for one in house.library.page("series", limit=9)] == [show.id]
    assert house.library.episodes(show.id)[0].id == first
    assert len(house.library.episodes(show.id)) == 2


def test_movies_are_channels_where_that_is_asked_for(house: House) -> None:
    house.add(house.put(LIST), options={"vod_as_channels": True})
    assert house.refresh().streams == 5
    assert house.library.counts(1) == {"movies": 0, "series": 0}


def test_kinds_that_are_switched_off_are_left_out_and_counted(house: House) -> None:
    house.add(house.put(LIST), options={"vod": False, "series": False})
    run = house.refresh()
    losses = run.report["losses"]
    assert isinstance(losses, dict)
    assert {kind: said["count"] for kind, said in losses.items()} == {"vod_switched_off": 1, "series_switched_off": 3}
    assert (run.streams, run.entries_skipped) == (1, 0)


def test_a_deleted_source_takes_its_library_with_it(house: House) -> None:
    house.add(house.put(LIST))
    house.refresh()
    house.sources.delete(1)
    assert house.library.page("movie", limit=9) == []
    house.titles.purge_source(1)
    rows = house.connections.get().execute("SELECT (SELECT count(*) FROM movies), (SELECT count(*) FROM episodes)")
    assert next(iter(rows)) == (0, 0)
