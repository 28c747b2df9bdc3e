"""What viewers are served from, and the playlists rendered for each address of ours."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stream_service.domain.lineup import LineupView
from stream_service.domain.model import ChannelTarget, LineupChannel, StreamAddress
from stream_service.lineups import catalogue as catalogue_module
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.publish import PublishedFiles, publish_catalogue, publish_lineup
from stream_service.lineups.rendered import MAX_ORIGINS, RenderedPlaylists
from tests.waiting import until


def channel(ident: str, *streams: StreamAddress) -> LineupChannel:
    return LineupChannel(id=ident, number="1", name=f"Name of {ident}", streams=streams)


def view(*channels: LineupChannel, name: str = "default") -> LineupView:
    return LineupView(name, channels)


def published(files: PublishedFiles, *views: LineupView) -> None:
    for one in views:
        publish_lineup(files, one)
    publish_catalogue(files, [one.name for one in views])


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_what_is_published_is_what_viewers_get(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    streams = (
        StreamAddress(1, 2, "http://h/1", {"User-Agent": "x"}, private_ok=True),
        StreamAddress(3, 4, "http://h/ü|2"),
    )
    published(files, view(channel("BBC1.uk", *streams)))
    catalogue = Catalogue(files.catalogue)
    assert catalogue.look()
    assert catalogue.get("BBC1.uk") == ChannelTarget("BBC1.uk", "1", "Name of BBC1.uk", streams)
    assert catalogue.get("bbc1.UK") is catalogue.get("BBC1.uk")
    assert catalogue.get("none") is None


def test_nothing_published_is_an_empty_catalogue(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "none")
    assert not catalogue.look()
    assert len(catalogue) == 0


def test_the_work_is_done_in_slices_where_it_may_wait(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    channels = [channel(f"c{n}", StreamAddress(n, 1, f"http://h/{n}" * 10)) for n in range(2_000)]
    published(files, view(*channels))
    calls: list[Callable[[], object]] = []

    def call(work: Callable[[], object]) -> object:
        calls.append(work)
        return work()

    catalogue = Catalogue(files.catalogue, call=call)
    catalogue.look()
    assert len(catalogue) == 2_000
    assert len(calls) > files.catalogue.stat().st_size / catalogue_module.SLICE_BYTES


def test_a_damaged_catalogue_leaves_the_one_before(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    published(files, view(channel("a")))
    catalogue = Catalogue(files.catalogue)
    catalogue.look()
    files.catalogue.write_text('["a", "1"\n')
    assert not catalogue.look()
    assert catalogue.get("a") is not None


def test_a_new_catalogue_is_noticed(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    catalogue = Catalogue(files.catalogue)
    stop = catalogue.follow(every_s=0.01)
    published(files, view(channel("a")))
    until(lambda: catalogue.get("a"), what="the first channel")
    published(files, view(channel("b")))
    until(lambda: catalogue.get("b"), what="the second channel")
    assert catalogue.get("a") is None
    stop()


def test_each_origin_has_its_own_text_and_tag_made_once(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    publish_lineup(files, view(channel("a")))
    playlists = RenderedPlaylists(files.rendered)
    one = playlists.of(files.playlist("default"), "http://one:1")
    two = playlists.of(files.playlist("default"), "http://two:2/tv")
    assert one is not None and two is not None
    assert one.etag != two.etag
    assert b"http://one:1/stream/a.ts" in one.path.read_bytes()
    assert b"http://two:2/tv/stream/a.ts" in two.path.read_bytes()
    written = one.path.stat().st_mtime_ns
    assert playlists.of(files.playlist("default"), "http://one:1") == one
    assert one.path.stat().st_mtime_ns == written


def test_a_new_publication_is_rendered_anew_and_the_old_file_goes(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    publish_lineup(files, view(channel("a")))
    playlists = RenderedPlaylists(files.rendered)
    one = playlists.of(files.playlist("default"), "http://one")
    publish_lineup(files, view(channel("b")))
    two = playlists.of(files.playlist("default"), "http://one")
    assert one is not None and two is not None
    assert one.etag != two.etag
    assert names_in(files.rendered) == [two.path.name]


def test_only_so_many_origins_are_kept(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    publish_lineup(files, view(channel("a")))
    playlists = RenderedPlaylists(files.rendered)
    for n in range(MAX_ORIGINS + 5):
        assert playlists.of(files.playlist("default"), f"http://h{n}")
    assert len(names_in(files.rendered)) == MAX_ORIGINS
    playlists.clear()
    assert names_in(files.rendered) == []


def test_nothing_published_renders_nothing(tmp_path: Path) -> None:
    assert RenderedPlaylists(tmp_path / "r").of(tmp_path / "none", "http://h") is None


def test_a_channel_that_was_just_published_is_found_before_the_next_look(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    catalogue = Catalogue(files.catalogue)
    assert catalogue.find("new") is None
    published(files, view(channel("new")))
    found = catalogue.find("new")
    assert found is not None
    assert found.name == "Name of new"


def test_channels_are_found_by_number_and_by_xtream_id_in_the_lineups_that_have_them(tmp_path: Path) -> None:
    files = PublishedFiles(tmp_path)
    one, two = LineupChannel("One.x", "1", "One", xtream_id=7), LineupChannel("two", "5.1", "Two", xtream_id=8)
    published(files, view(one, two), view(replace(two, number="1"), name="kids"))
    catalogue = Catalogue(files.catalogue)
    catalogue.look()
    assert len(catalogue) == 2
    assert catalogue.by_number("default", "5.1") == catalogue.by_xtream_id(8) == catalogue.get("two")
    assert catalogue.by_number("kids", "1") == catalogue.get("two")
    assert catalogue.by_number("kids", "5.1") is catalogue.by_number("none", "1") is catalogue.by_xtream_id(9) is None
    assert [catalogue.in_lineup("kids", name) for name in ("ONE.X", "TWO")] == [False, True]
    assert catalogue.in_lineup("default", "one.X")
