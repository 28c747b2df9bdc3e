"""Films and series: listed, told, sent in ranges through slots and seats, and written as `.strm` trees."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from servicekit.errors import BadAnswer, Invalid, Unavailable
from stream_service.domain.model import StreamAddress
from stream_service.domain.sending import Player
from stream_service.domain.titles import Episode, StoredEpisode, StoredTitle, Title, TitleKind
from stream_service.library.pump import Pump
from stream_service.library.strm import WRITTEN, StrmTree, safe_name
from stream_service.relay.slots import LocalSlots
from tests.providerkit import Asked, Reply
from tests.stream.panelkit import PASSWORD as PANEL_PASSWORD
from tests.stream.panelkit import USER as PANEL_USER
from tests.stream.panelkit import FakePanel, movie, show
from tests.stream.sourcekit import HeldClock
from tests.stream.xtreamkit import OUTSIDE, PASSWORD, Site

FILM = bytes(range(256)) * 400
EPISODES = {
    "seasons": [],
    "info": {"plot": "All of it", "genre": "Drama"},
    "episodes": {
        "1": [
            {"id": "901", "episode_num": "1", "title": "Pilot", "container_extension": "mp4", "season": 1, "info": {}},
            {"id": "902", "episode_num": 2, "title": "Second", "container_extension": "mkv", "season": "1", "info": []},
        ]
    },
}


def ranged(body: bytes, *, kind: str = "video/x-matroska") -> Any:
    """A server that knows ranges."""

    def answer(asked: Asked) -> Reply:
        wanted = asked.headers.get("Range")
        if not wanted:
            return Reply(200, {"Content-Type": kind, "ETag": '"f"'}, body)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = len(body) - int(last) if not first else int(first)
        end = len(body) - 1 if not first or not last else min(int(last), len(body) - 1)
        if start >= len(body):
            return Reply(416, {"Content-Range": f"bytes */{len(body)}"})
        told = {"Content-Type": kind, "Content-Range": f"bytes {start}-{end}/{len(body)}"}
        return Reply(206, told, body[start : end + 1])

    return answer


@pytest.fixture
def panel() -> Iterator[FakePanel]:
    with FakePanel(
        vod=[movie(5, "Great Film (1999)", category_id="9", plot="A plot"), movie(6, "Another/..\\Film")],
        series=[show(7, "Long Story", genre="Drama")],
    ) as made:
        made.answers["get_series_info"] = EPISODES
        made.answers["get_vod_info"] = {"info": {"director": "Somebody", "duration_secs": 5400}, "movie_data": {}}
        yield made


@pytest.fixture
def site(tmp_path: Path, panel: FakePanel) -> Iterator[Site]:
    made = Site(tmp_path)
    made.house.add(panel.base, type="xtream", username=PANEL_USER, password=PANEL_PASSWORD)
    run = made.house.refresh()
    assert run.status == "success", run.error_message
    made.build()
    made.user()
    yield made
    made.close()


def path_of(panel: FakePanel, kind: str, name: str) -> str:
    login = f"{quote(PANEL_USER, safe='')}/{quote(PANEL_PASSWORD, safe='')}"
    return f"/{kind}/{login}/{name}"


# ---- lists -----------------------------------------------------------------------------------------------------------


def test_films_and_series_are_listed_and_searched(site: Site) -> None:
    found = site.client.get("/api/v1/library/movies").get_json()["items"]
    assert [one["name"] for one in found] == ["Great Film (1999)", "Another/..\\Film"]
    assert found[0]["stream_url"].endswith("/vod/movie-1.mkv")
    assert [one["id"] for one in site.client.get("/api/v1/library/movies?q=GREAT").get_json()["items"]] == [1]
    page = site.client.get("/api/v1/library/movies?limit=1").get_json()
    assert len(page["items"]) == 1
    assert site.client.get(f"/api/v1/library/movies?cursor={page['next']}").get_json()["items"][0]["id"] == 2
    assert site.client.get("/api/v1/library/series?q=nothing").get_json()["items"] == []
    (category,) = site.client.get("/api/v1/library/series/categories").get_json()["items"]
    assert category == {"name": "Shows", "titles": 1}
    assert site.client.get("/api/v1/library/movies/99").status_code == 404
    said = site.client.get("/api/v1/library/movies").data
    assert PANEL_PASSWORD.encode() not in said


def test_a_series_episodes_are_asked_of_the_provider_once_a_day(site: Site, panel: FakePanel) -> None:
    one = site.client.get("/api/v1/library/series/1").get_json()
    assert [(each["season"], each["number"], each["name"]) for each in one["episodes"]] == [
        (1, 1, "Pilot"), (1, 2, "Second"),
    ]  # fmt: skip
    site.client.get("/api/v1/library/series/1")
    assert site.asked == ["library_series"]
    site.clock.s += 2 * 86_400
    panel.break_action("get_series_info", status=503)
    assert len(site.client.get("/api/v1/library/series/1").get_json()["episodes"]) == 2
    assert site.asked == ["library_series"] * 2


FILM_FORM = {
    "num": int, "name": str, "title": str, "year": str, "stream_type": str, "stream_id": int, "stream_icon": str,
    "rating": str, "rating_5based": (int, float), "added": str, "plot": str, "cast": str, "director": str, "genre": str,
    "release_date": str, "youtube_trailer": str, "episode_run_time": str, "category_id": str, "category_ids": list,
    "container_extension": str, "custom_sid": str, "direct_source": str, "is_adult": int,
}  # fmt: skip
SERIES_FORM = {
    "num": int, "name": str, "title": str, "year": str, "series_id": int, "cover": str, "plot": str, "cast": str,
    "director": str, "genre": str, "release_date": str, "releaseDate": str, "last_modified": str, "rating": str,
    "rating_5based": (int, float), "backdrop_path": list, "youtube_trailer": str, "episode_run_time": str,
    "category_id": str, "category_ids": list,
}  # fmt: skip


def assert_form(said: Mapping[str, Any], form: Mapping[str, Any]) -> None:
    assert {key: said.get(key) for key, kind in form.items() if not isinstance(said.get(key), kind)} == {}


def test_xtream_lists_of_titles_have_their_types(site: Site) -> None:
    films, shows = site.xtream("get_vod_streams").get_json(), site.xtream("get_series").get_json()
    for one in films:
        assert_form(one, FILM_FORM)
    for one in shows:
        assert_form(one, SERIES_FORM)
    assert films[0]["rating_5based"] == 3.4
    (category,) = {one["category_id"] for one in films if one["name"].startswith("Great")}
    assert site.xtream("get_vod_streams", category_id=category).get_json() == [
        one for one in films if one["category_id"] == category
    ]
    names = {one["category_id"]: one["category_name"] for one in site.xtream("get_vod_categories").get_json()}
    assert names[category] == "Films"
    assert [one["num"] for one in films] == [1, 2]


def test_xtream_details_have_their_types_and_episodes_are_an_object(site: Site) -> None:
    film = site.xtream("get_vod_info", vod_id=1).get_json()
    assert film["info"]["director"] == "Somebody"
    assert isinstance(film["info"]["duration_secs"], int)
    assert film["movie_data"]["stream_id"] == 1
    (show_id,) = [one["series_id"] for one in site.xtream("get_series").get_json()]
    said = site.xtream("get_series_info", series_id=show_id).get_json()
    assert list(said["episodes"]) == ["1"]
    first = said["episodes"]["1"][0]
    assert_form(first, {"id": str, "episode_num": int, "title": str, "container_extension": str, "info": dict,
                        "added": str, "season": int, "direct_source": str, "subtitles": list})  # fmt: skip
    assert said["seasons"][0]["episode_count"] == 2
    assert said["info"]["plot"]
    assert site.xtream("get_series_info", series_id=99).get_json()["episodes"] == {}
    assert site.xtream("get_vod_info", vod_id="x").get_json() == {"info": [], "movie_data": []}


def test_who_may_not_see_the_library_sees_none_of_it(site: Site) -> None:
    site.client.put("/api/v1/users/1", json={"library": False})
    assert site.xtream("get_vod_streams").get_json() == []
    assert site.xtream("get_vod_info", vod_id=1).get_json() == {"info": [], "movie_data": []}
    assert site.client.get(f"/movie/ann/{PASSWORD}/1.mkv").status_code == 403


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/vod/movie-1.mkv", f"/movie/ann/{PASSWORD}/1.mkv"])
def test_a_film_is_sent_in_the_range_that_is_asked_for(site: Site, panel: FakePanel, address: str) -> None:
    panel.provider.script(path_of(panel, "movie", "5.mkv"), ranged(FILM))
    whole = site.client.get(address)
    assert (whole.status_code, whole.data, whole.content_type) == (200, FILM, "video/x-matroska")
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert int(whole.headers["Content-Length"]) == len(FILM)
    part = site.client.get(address, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.data) == (206, FILM[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(FILM)}"
    tail = site.client.get(address, headers={"Range": "bytes=-10"})
    assert (tail.status_code, tail.data) == (206, FILM[-10:])
    beyond = site.client.get(address, headers={"Range": f"bytes={len(FILM)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(FILM)}")
    several = site.client.get(address, headers={"Range": "bytes=0-1,5-9"})
    assert (several.status_code, len(several.data)) == (200, len(FILM))


def test_head_tells_the_length_with_one_byte_and_remembers_it(site: Site, panel: FakePanel) -> None:
    place = path_of(panel, "movie", "5.mkv")
    panel.provider.script(place, ranged(FILM))
    for _ in range(3):
        answer = site.client.head("/vod/movie-1.mkv")
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(FILM)))
    assert panel.provider.count(place) == 1


@pytest.mark.parametrize(
    "address", ["/vod/movie-77.mkv", "/vod/movie-1.mkv", "/vod/episode-1.mp4", "/vod/movie-1.m/kv"]
)
def test_what_nobody_has_is_404(site: Site, panel: FakePanel, address: str) -> None:
    assert site.client.get(address).status_code == 404
    assert site.client.head(address).status_code == 404


def test_a_login_page_is_no_film(site: Site, panel: FakePanel) -> None:
    panel.provider.html(path_of(panel, "movie", "5.mkv"))
    assert site.client.get("/vod/movie-1.mkv").status_code == 404


def test_a_playlist_of_segments_is_no_film_either(site: Site, panel: FakePanel) -> None:
    panel.provider.serve(path_of(panel, "movie", "5.mkv"), "#EXTM3U", content_type="application/vnd.apple.mpegurl")
    answer = site.client.get("/vod/movie-1.mkv")
    assert answer.status_code == 502
    assert PANEL_PASSWORD not in answer.get_data(as_text=True)


def test_a_lineup_that_redirects_redirects_films_too(site: Site, panel: FakePanel) -> None:
    site.client.put("/api/v1/lineups/default", json={"delivery": "redirect"})
    answer = site.client.get("/vod/movie-1.mkv")
    assert answer.status_code == 302
    assert answer.headers["Location"] == panel.provider.url(path_of(panel, "movie", "5.mkv"))


def test_a_film_is_delivered_as_the_lineup_that_is_named_says(site: Site, panel: FakePanel) -> None:
    panel.provider.serve(path_of(panel, "movie", "5.mkv"), FILM, content_type="video/x-matroska")
    site.client.post("/api/v1/lineups", json={"name": "away", "delivery": "redirect"})
    site.user("bob", lineups=["default"])
    assert site.client.head("/vod/movie-1.mkv").status_code == 200
    assert site.client.head("/vod/movie-1.mkv?lineup=away").status_code == 302
    assert site.client.head("/vod/movie-1.mkv?lineup=nowhere").status_code == 404
    assert site.client.head(f"/movie/bob/{PASSWORD}/1.mkv").status_code == 200
    assert site.client.head(f"/movie/bob/{PASSWORD}/1.mkv?lineup=away").status_code == 403


def test_an_outsider_gets_no_film_without_a_login(site: Site) -> None:
    assert site.client.get("/vod/movie-1.mkv", environ_base=OUTSIDE).status_code == 401


@pytest.mark.parametrize("asked", ["", "bytes=1000-60000"])
def test_a_film_that_breaks_off_goes_on_where_it_stopped(site: Site, panel: FakePanel, asked: str) -> None:
    place = path_of(panel, "movie", "5.mkv")
    whole = ranged(FILM)

    def breaks_off(request: Asked) -> Reply:
        reply = whole(request)
        if len([one for one in panel.provider.requests if one.path == place]) > 2:
            return reply
        return Reply(reply.status, reply.headers, reply.body[:20_000], length=len(reply.body))

    panel.provider.script(place, breaks_off)
    answer = site.client.get("/vod/movie-1.mkv", headers={"Range": asked} if asked else {})
    assert answer.data == (FILM[1000:60001] if asked else FILM)
    told = [one.headers.get("Range") for one in panel.provider.requests if one.path == place]
    begin = 1000 if asked else 0
    assert [one.partition("-")[0] for one in told[1:]] == [f"bytes={begin + 20_000}", f"bytes={begin + 40_000}"]


def test_a_film_that_nobody_has_any_more_ends(site: Site, panel: FakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_service.library.pump.RESUME_PAUSE_S", 0.0)
    place = path_of(panel, "movie", "5.mkv")
    panel.provider.script(
        place,
        lambda asked: (
            Reply(404)
            if "Range" in asked.headers
            else Reply(200, {"Content-Type": "video/mp4"}, FILM[:500], length=len(FILM))
        ),
    )
    assert site.client.get("/vod/movie-1.mkv").data == FILM[:500]
    assert panel.provider.count(place) == 6
    assert site.relay.slots.held() == []


# ---- slots and seats -------------------------------------------------------------------------------------------------

ONE = StreamAddress(-2, 1, "http://p.example/a.mkv", connection_limit=1)
TWO = StreamAddress(-4, 1, "http://p.example/b.mkv", connection_limit=1)
TV, PHONE = Player("10.0.0.1", "tv"), Player("10.0.0.2", "phone")


class Line:
    """An answer that lasts."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"Content-Type": "video/mp4"} | headers
        self.url = "http://p.example/a.mkv"
        self.ended = False

    def raw_socket(self) -> None:
        return None

    def read1(self, n: int = 65_536) -> bytes:
        return b"" if self.ended else b"x"

    def shutdown(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


def pump(slots: LocalSlots, line: Any = Line, **more: Any) -> Pump:
    said: dict[str, Any] = {"free_unwatched": lambda account: False, "slot_wait_s": 0.0, "clock": HeldClock()} | more
    return Pump(open_range=lambda address, headers: line(), slots=slots, **said)


def test_a_file_takes_a_slot_of_its_account_and_gives_it_back(tmp_path: Path) -> None:
    slots = LocalSlots()
    one = pump(slots)
    sending = one.open(ONE, player=TV)
    assert [lease.account for lease in slots.held()] == ["source-1"]
    with pytest.raises(Unavailable) as caught:
        one.open(TWO, player=PHONE)
    assert caught.value.extra["code"] == "no_slot"
    sending.close()
    sending.close()
    assert slots.held() == []
    one.open(TWO, player=PHONE).close()


def test_a_player_that_seeks_ends_its_own_old_connection(tmp_path: Path) -> None:
    slots = LocalSlots()
    one = pump(slots)
    first = one.open(ONE, player=TV)
    assert next(first) == b"x"
    second = one.open(ONE, player=TV, asked_range="bytes=500-")
    assert list(first) == []
    assert next(second) == b"x"
    assert len(slots.held()) == 1
    one.end()
    assert slots.held() == []


def test_a_channel_that_nobody_watches_gives_its_slot_to_a_film() -> None:
    slots = LocalSlots()
    lingering = slots.acquire("source-1", "channel", limit=1)
    assert lingering is not None

    def free(account: str) -> bool:
        slots.release(lingering)
        return account == "source-1"

    pump(slots, free_unwatched=free).open(ONE, player=TV).close()


@pytest.mark.parametrize("status", [204, 200], ids=["no content", "a text"])
def test_what_is_no_file_gives_the_slot_back(status: int) -> None:
    slots = LocalSlots()
    broken = pump(slots, line=lambda: Line(status, **({"Content-Type": "text/html"} if status == 200 else {})))
    with pytest.raises(BadAnswer):
        broken.open(ONE, player=TV)
    assert slots.held() == []


def test_a_seat_is_taken_for_a_user_and_given_back() -> None:
    entered: list[tuple[str, str]] = []
    left: list[str] = []

    def enter(user: str, *, address: str, user_agent: str, end: Any) -> Any:
        entered.append((user, user_agent))
        return lambda: left.append(user)

    one = pump(LocalSlots(), enter=enter)
    one.open(ONE, player=Player("10.0.0.1", "tv", "ann")).close()
    one.open(ONE, player=TV).close()
    assert (entered, set(left)) == ([("ann", "tv")], {"ann"})


def test_who_only_looks_takes_no_slot_from_anybody() -> None:
    slots = LocalSlots()
    one = pump(slots, line=lambda: Line(206, **{"Content-Range": "bytes 0-0/12345"}))
    with contextlib.closing(one.open(ONE, player=TV)):
        assert one.look(TWO).length is None
    assert one.look(TWO).length == 12345
    assert slots.held() == []


# ---- .strm -----------------------------------------------------------------------------------------------------------


class Shelf:
    """A library in memory."""

    def __init__(self) -> None:
        self.films: list[StoredTitle] = []
        self.shows: list[StoredTitle] = []
        self.parts: dict[int, list[StoredEpisode]] = {}

    def page(self, kind: TitleKind, *, limit: int, after: int = 0, **more: Any) -> list[StoredTitle]:
        every = self.films if kind == "movie" else self.shows
        return [one for one in every if one.id > after][:limit]

    def episodes(self, series_id: int) -> list[StoredEpisode]:
        return self.parts.get(series_id, [])

    def film(self, name: str, year: str = "") -> None:
        title = Title("movie", f"m{len(self.films)}", name, year=year, container="mkv")
        self.films.append(StoredTitle(len(self.films) + 1, 1, title, 0, 0))

    def show(self, name: str, *episodes: tuple[int, int]) -> None:
        ident = len(self.shows) + 1
        self.shows.append(StoredTitle(ident, 1, Title("series", name, name), 0, 0))
        self.parts[ident] = [
            StoredEpisode(at, ident, 1, Episode(name, f"e{at}", season, number, "E"), 0, 0)
            for at, (season, number) in enumerate(episodes, 10 * ident)
        ]


def files(root: Path) -> dict[str, str]:
    return {str(one.relative_to(root)): one.read_text().strip() for one in sorted(root.rglob("*.strm"))}


def tree(shelf: Shelf, root: Path, origin: str = "http://10.0.0.5:8081") -> StrmTree:
    return StrmTree(shelf, directory=root, origin=origin)


def test_a_tree_as_media_servers_read_it(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.film("Great Film", "1999")
    shelf.film("Great Film", "1999")
    shelf.film("Other (2001)", "2001-05-06")
    shelf.show("Long Story", (1, 1), (1, 2), (0, 1))
    outcome = tree(shelf, tmp_path).write()
    assert files(tmp_path) == {
        "Movies/Great Film (1999)/Great Film (1999).strm": "http://10.0.0.5:8081/vod/movie-1.mkv",
        "Movies/Great Film (1999)/Great Film (1999) [2].strm": "http://10.0.0.5:8081/vod/movie-2.mkv",
        "Movies/Other (2001)/Other (2001).strm": "http://10.0.0.5:8081/vod/movie-3.mkv",
        "Series/Long Story/Season 01/Long Story S01E01.strm": "http://10.0.0.5:8081/vod/episode-10.mp4",
        "Series/Long Story/Season 01/Long Story S01E02.strm": "http://10.0.0.5:8081/vod/episode-11.mp4",
        "Series/Long Story/Season 00/Long Story S00E01.strm": "http://10.0.0.5:8081/vod/episode-12.mp4",
    }
    assert (outcome.written, outcome.removed) == (6, 0)
    assert tree(shelf, tmp_path).write().written == 0
    assert tree(shelf, tmp_path, "http://tv.lan").write().written == 6
    assert not list(tmp_path.rglob("*.tmp"))


def test_only_our_own_files_go(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.film("Gone")
    shelf.film("Stays")
    tree(shelf, tmp_path).write()
    theirs = [tmp_path / "Movies" / "Gone" / "poster.jpg", tmp_path / "Movies" / "Mine" / "Mine.strm"]
    for one in theirs:
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_text("mine")
    shelf.films.pop(0)
    assert tree(shelf, tmp_path).write().removed == 1
    assert all(one.exists() for one in theirs)
    shelf.films.clear()
    tree(shelf, tmp_path).write()
    assert not (tmp_path / "Movies" / "Stays").exists()


@pytest.mark.parametrize(
    "listed", ['["../outside.strm"]', '["/etc/passwd"]', '{"a": 1}', "nonsense", '["Movies/x"]', "[7]"]
)
def test_a_forged_list_of_ours_removes_nothing(tmp_path: Path, listed: str) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    outside = tmp_path / "outside.strm"
    outside.write_text("theirs")
    (root / WRITTEN).write_text(listed)
    tree(Shelf(), root).write()
    assert outside.exists()
    assert json.loads((root / WRITTEN).read_text()) == []


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    elsewhere.mkdir()
    root.mkdir()
    (root / "Movies").symlink_to(elsewhere)
    shelf = Shelf()
    shelf.film("Great Film")
    with pytest.raises(Invalid, match="leads out of the tree"):
        tree(shelf, root).write()
    assert not list(elsewhere.rglob("*.strm"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Plain Name", "Plain Name"),
        ("../../etc/passwd", "etc passwd"),
        ("a/b\\c:d*e?f\"g<h>i|j", "a b c d e f g h i j"),
        ("..", "_"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("trailing. . ", "trailing"),
        ("\x00\x1f", "_"),
        ("Sólo Ünï", "Sólo Ünï"),
    ],
)  # fmt: skip
def test_a_name_is_made_one_part_of_a_path(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(safe_name(name * 100).encode()) <= 121
