"""Xtream sources against a panel that does what panels do."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servicekit.errors import RateLimited
from stream_service.domain.entities import Run, Source
from tests.stream.panelkit import EXPIRES_S, PASSWORD, USER, FakePanel, channel, movie, show
from tests.stream.sourcekit import House, playlist

CORPUS = Path(os.environ.get("AERIAL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
REAL = CORPUS / "tellytv-go.xtream-codes" / "testData" / "tnt"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


@pytest.fixture
def panel() -> Iterator[FakePanel]:
    with FakePanel(vod=[movie(5, "Film")], series=[show(8, "Serial")]) as running:
        yield running


def add(house: House, panel: FakePanel, **more: object) -> Source:
    values = {"type": "xtream", "username": USER, "password": PASSWORD} | more
    return house.add(str(values.pop("url", panel.base)), **values)


def titles(house: House) -> dict[str, list[str]]:
    """What the library shows, by kind."""
    return {kind: [one.title.name for one in house.library.page(kind, limit=99)] for kind in ("movie", "series")}  # type: ignore[arg-type]


def test_a_panels_channels_movies_and_series_come_in_with_their_groups(house: House, panel: FakePanel) -> None:
    source = add(house, panel)
    run = house.refresh()
    assert (run.status, run.streams, run.error_message) == ("success", 2, None)
    stream = next(iter(house.channels.streams()))
    assert (stream.name, stream.group, stream.wanted_number) == ("One", "News", "1")
    assert stream.stream.url == f"{panel.base}/live/u%40home/S3CR3T%2Fxyz/1.ts"
    assert titles(house) == {"movie": ["Film"], "series": ["Serial"]}
    assert house.library.page("movie", limit=1)[0].title.category == "Films"
    assert house.library.movie_address(1).url == f"{panel.base}/movie/u%40home/S3CR3T%2Fxyz/5.mkv"
    assert panel.actions() == [
        "", "get_live_categories", "get_live_streams", "get_vod_categories", "get_vod_streams",
        "get_series_categories", "get_series",
    ]  # fmt: skip
    assert house.sources.get(source.id).good.entries == 2


def test_the_account_is_kept_and_its_connections_are_the_limit_unless_one_is_set(
    house: House, panel: FakePanel
) -> None:
    source = add(house, panel)
    house.refresh()
    account = house.sources.get(source.id).account
    assert (account.status, account.expires_at, account.max_connections, account.timezone) == (
        "active", EXPIRES_S, 3, "America/New_York",
    )  # fmt: skip
    assert {one.stream.connection_limit for one in house.channels.streams()} == {3}
    house.sources.update(source.id, {"connection_limit": 2})
    assert {one.stream.connection_limit for one in house.channels.streams()} == {2}


def test_an_account_that_ends_soon_is_told(house: House, panel: FakePanel) -> None:
    add(house, panel)
    panel.user["exp_date"] = str(house.clock.now_s() + 2 * 86_400)
    house.refresh()
    assert "account_expires" in house.events.kinds
    assert "in 2 days" in house.events.messages[0]


def test_an_unchanged_panel_is_unchanged_and_its_account_is_looked_at_all_the_same(
    house: House, panel: FakePanel
) -> None:
    add(house, panel)
    house.refresh()
    panel.user["active_cons"] = 2
    assert house.refresh().status == "unchanged"
    assert house.sources.get(1).account.active == 2


def test_only_what_changed_is_read_again(house: House, panel: FakePanel) -> None:
    add(house, panel)
    house.refresh()
    panel.answers["get_live_streams"].append(channel(3, "Three"))
    run = house.refresh()
    assert (run.status, run.streams, run.report["library"], run.report["warnings"]) == ("success", 3, {}, [])
    assert titles(house) == {"movie": ["Film"], "series": ["Serial"]}
    panel.answers["get_vod_streams"].append(movie(6, "Sequel"))
    assert house.refresh().report["library"] == {"movie": 2}
    assert titles(house) == {"movie": ["Film", "Sequel"], "series": ["Serial"]}
    assert house.refresh(force=True).report["library"] == {"movie": 2, "series": 1}
    house.sources.update(1, {"options": {"vod": False}})
    assert house.refresh().status == "success"
    assert titles(house) == {"movie": [], "series": ["Serial"]}


def test_another_host_and_login_are_the_same_streams(house: House, panel: FakePanel, tmp_path: Path) -> None:
    add(house, panel)
    house.refresh()
    before, film = house.streams(), house.library.page("movie", limit=1)[0].id
    with FakePanel(vod=[movie(5, "Film")], series=[show(8, "Serial")], prefix="/sub/path") as moved:
        house.sources.update(1, {"url": f"{moved.base}/player_api.php"})
        run = house.refresh()
        assert run.report["streams"] == {"unchanged": 0, "found_again": {"provider-id": 2}, "new": 0}
        assert house.streams() == before
        assert house.library.page("movie", limit=1)[0].id == film
        assert house.library.movie_address(film).url.startswith(f"{moved.base}/movie/")


def test_a_panels_list_that_becomes_a_panel_keeps_its_streams_and_films(house: House, panel: FakePanel) -> None:
    entries = [
        {"name": "Uno", "url": "http://old.example/live/x/y/1.ts"},
        {"name": "Dos", "url": "http://old.example/live/x/y/2.ts"},
        {"name": "Pelicula", "url": "http://old.example/movie/x/y/5.mkv"},
    ]
    house.add(house.put(playlist(entries)))
    house.refresh()
    streams, film = sorted(house.streams().values()), house.library.page("movie", limit=1)[0].id
    values = {"type": "xtream", "url": panel.base, "username": USER, "password": PASSWORD}
    house.sources.update(1, values)
    run = house.refresh()
    assert (run.status, run.report["streams"]) == (
        "success", {"unchanged": 0, "found_again": {"provider-id": 2}, "new": 0},
    )  # fmt: skip
    assert sorted(house.streams().values()) == streams
    found = house.library.page("movie", limit=9)
    assert [(one.id, one.title.name) for one in found] == [(film, "Film")]
    assert house.library.movie_address(film).url.startswith(panel.base)


def test_backup_hosts_are_tried_in_their_order(house: House, panel: FakePanel) -> None:
    with FakePanel() as dead, FakePanel() as paged:
        dead.provider.stop()
        paged.page("")
        add(house, dead, backup_urls=[paged.base, panel.base])
        assert house.refresh().status == "success"
        assert next(iter(house.channels.streams())).stream.url.startswith(f"{panel.base}/live/")
        assert house.sources.get(1).account.base_url == panel.base


def test_all_hosts_failing_is_told_with_each_reason_and_without_the_login(house: House, panel: FakePanel) -> None:
    with FakePanel() as other:
        panel.page("")
        other.break_action("", status=502)
        add(house, panel, backup_urls=[other.base])
        run = house.refresh()
        assert "2 hosts" in str(run.error_message)
        assert "web page" in str(run.error_message)
        assert "502" in str(run.error_message)
        assert "S3CR3T" not in str(run)


DISASTERS: list[tuple[str, Callable[[FakePanel], object], str, str]] = [
    ("an empty list", lambda p: p.answers.update(get_live_streams=[]), "rejected", "no entry"),
    ("null", lambda p: p.answers.update(get_live_streams=b"null"), "rejected", "no entry"),
    ("a quarter of the list", lambda p: p.answers.update(get_live_streams=[channel(1, "One")]), "rejected", "50%"),
    ("a web page for the list", lambda p: p.page("get_live_streams"), "rejected", "web page"),
    ("a web page for the login", lambda p: p.page(""), "rejected", "web page"),
    ("nothing", lambda p: p.answers.update(get_live_streams=b""), "rejected", "empty"),
    ("a cut list", lambda p: p.answers.update(get_live_streams=b'[{"stream_id": 1, "name'), "rejected", "cut short"),
    ("auth 0", lambda p: p.user.update(auth=0), "rejected", "refuses the login"),
    ("auth 0 in place of the list",
     lambda p: p.answers.update(get_live_streams={"user_info": {"auth": 0}}), "rejected", "refuses the login"),
    ("no account", lambda p: p.user.clear() or p.break_action("", status=200, body=b"[]"), "rejected", "account"),
    ("expired", lambda p: p.user.update(status="Expired", exp_date="1"), "rejected", "expired on 1970"),
    ("past its date", lambda p: p.user.update(exp_date=1_700_000_000), "rejected", "expired"),
    ("banned", lambda p: p.user.update(status="Banned", message="bye"), "rejected", "banned.*bye"),
    ("disabled", lambda p: p.user.update(status="Disabled"), "rejected", "disabled"),
    ("429", lambda p: p.break_action("", status=429, headers={"Retry-After": "600"}), "failed", "429"),
    ("429 for the list", lambda p: p.break_action("get_live_streams", status=429), "failed", "429"),
    ("403", lambda p: p.break_action("", status=403), "failed", "403"),
    ("458", lambda p: p.break_action("get_live_streams", status=458), "failed", "458"),
    ("categories that fail", lambda p: p.break_action("get_live_categories", status=500), "failed", "500"),
    ("nobody there", lambda p: p.provider.stop(), "failed", ""),
    ("broken JSON", lambda p: p.answers.update(get_live_streams=b'[{"stream_id":}]'), "rejected", "broken JSON"),
    ("nested deep", lambda p: p.answers.update(get_live_streams=b"[" * 50_000), "rejected", "nested"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "script", "status", "says"), DISASTERS, ids=[one[0] for one in DISASTERS])
def test_a_disaster_changes_nothing_and_is_told(
    house: House, panel: FakePanel, name: str, script: Callable[[FakePanel], object], status: str, says: str
) -> None:
    panel.answers["get_live_streams"] = [channel(n, f"C{n}") for n in range(1, 5)]
    add(house, panel)
    house.refresh()
    house.build()
    streams, numbers, library = house.streams(), house.numbers(), titles(house)
    script(panel)
    run = house.refresh()
    assert run.status == status
    assert run.error_message
    assert _found(says, run.error_message)
    house.build()
    assert (house.streams(), house.numbers(), titles(house)) == (streams, numbers, library)
    assert PASSWORD not in json.dumps([run.report, house.events.messages])


@pytest.mark.parametrize("after_head", [False, True], ids=["no answer", "no body"])
def test_a_panel_that_hangs_is_given_up_and_nothing_changes(house: House, panel: FakePanel, after_head: bool) -> None:
    add(house, panel)
    house.refresh()
    streams, library = house.streams(), titles(house)
    house.sources.update(1, {"timeouts": {"read_s": 0.3}})
    panel.provider.hang("/player_api.php", after_head=after_head)
    run = house.refresh()
    assert (run.status, "time allowed" in str(run.error_message)) == ("failed", True)
    assert (house.streams(), titles(house)) == (streams, library)


def _found(says: str, message: str) -> bool:
    parts = says.split(".*")
    return all(part in message for part in parts)


@pytest.mark.parametrize("broken", ["get_vod_streams", "get_vod_categories"])
@pytest.mark.parametrize("how", ["503", "page", "cut", "empty"])
def test_movies_that_fail_cost_no_channel_and_no_movie(house: House, panel: FakePanel, broken: str, how: str) -> None:
    add(house, panel)
    house.refresh()
    panel.answers["get_live_streams"].append(channel(3, "Three"))
    if how == "503":
        panel.break_action(broken)
    elif how == "page":
        panel.page(broken)
    else:
        panel.answers[broken] = b'[{"stream_id": 5, "na' if how == "cut" else []
    run = house.refresh()
    assert (run.status, run.streams) == ("success", 3)
    assert titles(house)["movie"] == ["Film"]
    if not (how == "empty" and broken == "get_vod_categories"):
        assert any("kept" in str(said) for said in run.report["warnings"])  # type: ignore[attr-defined]


def test_a_panel_that_asks_to_be_left_alone_is_left_alone(house: House, panel: FakePanel) -> None:
    add(house, panel)
    house.refresh()
    panel.break_action("", status=429, headers={"Retry-After": "600"})
    assert house.refresh().report["retry_after_s"] == 600
    panel.mend()
    asked = len(panel.actions())
    run = house.refresh()
    assert (run.status, len(panel.actions())) == ("failed", asked)
    assert "left alone until" in str(run.error_message)
    with pytest.raises(RateLimited):
        house.access.panels.series(house.sources.get(1), "series:8")
    assert house.refresh(force=True).status == "success"
    assert house.sources.get(1).account.wait_until == 0


def test_kinds_that_are_switched_off_are_not_asked_for(house: House, panel: FakePanel) -> None:
    add(house, panel, options={"vod": False, "series": False})
    assert house.refresh().status == "success"
    assert panel.actions() == ["", "get_live_categories", "get_live_streams"]


def test_a_source_of_movies_alone_is_fine(house: House, panel: FakePanel) -> None:
    add(house, panel, options={"live": False})
    assert house.refresh().status == "success"
    assert titles(house) == {"movie": ["Film"], "series": ["Serial"]}


def test_episodes_are_asked_for_one_series_at_a_time(house: House, panel: FakePanel) -> None:
    panel.answers["get_series_info"] = {
        "info": {"plot": "Long"},
        "episodes": {"1": [{"id": "70", "episode_num": "2", "title": "Two", "container_extension": "mkv", "season": 1}],
                     "2": {"0": {"id": 71, "episode_num": 1, "title": "", "info": []}}},
    }  # fmt: skip
    add(house, panel)
    house.refresh()
    series = house.library.page("series", limit=1)[0]
    found, info = house.access.panels.series(house.sources.get(1), series.title.provider_id)
    house.titles.keep_episodes(series.id, found)
    house.titles.keep_info("series", series.id, info)
    episodes = house.library.episodes(series.id)
    assert [(e.episode.season, e.episode.number, e.episode.name) for e in episodes] == [
        (1, 2, "Two"),
        (2, 1, "Episode 1"),
    ]
    assert house.library.get("series", series.id).title.details["plot"] == "Long"
    assert house.library.episode_address(episodes[0].id).url == f"{panel.base}/series/u%40home/S3CR3T%2Fxyz/70.mkv"
    house.titles.keep_episodes(series.id, found[:1])
    assert [e.id for e in house.library.episodes(series.id)] == [episodes[0].id]


def test_a_title_that_comes_back_is_itself(house: House, panel: FakePanel) -> None:
    panel.answers["get_vod_streams"] = [movie(n, f"F{n}") for n in range(4)]
    add(house, panel)
    house.refresh()
    before = {one.title.name: one.id for one in house.library.page("movie", limit=9)}
    gone = panel.answers["get_vod_streams"].pop()
    house.refresh()
    assert len(titles(house)["movie"]) == 3
    panel.answers["get_vod_streams"].insert(0, gone)
    house.refresh()
    assert {one.title.name: one.id for one in house.library.page("movie", limit=9)} == before


def test_a_refresh_that_is_killed_after_its_verdict_is_taken_over_whole(
    house: House, panel: FakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(house, panel)
    panel.answers["get_vod_streams"] = [movie(n, f"F{n}") for n in range(3)]

    def killed(source_id: int) -> None:
        if house.sources.get(source_id).generation:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(house.titles, "apply", killed)
        with pytest.raises(KeyboardInterrupt):
            house.refresh()
    assert titles(house)["movie"] == []
    house.refresher.sweep(1)
    assert titles(house)["movie"] == ["F0", "F1", "F2"]


@pytest.mark.parametrize(
    ("said", "name", "group", "number", "attributes"),
    [
        pytest.param(channel("7", "A", 1, num="12"), "A", "News", "12", {}, id="text and number swapped"),
        pytest.param(channel(7.0, None, "1"), "Channel 7", "News", "7", {}, id="no name"),
        pytest.param(channel(7, "A", None, category_ids=[1]), "A", "News", "7", {}, id="several categories"),
        pytest.param(channel(7, "A", "99"), "A", "", "7", {}, id="a category nobody knows"),
        pytest.param(channel(7, "A\x00\ud83d\nB", "1", num=-1), "A ? B", "News", "", {}, id="signs no store takes"),
        pytest.param(channel(7, "A", "1", tv_archive="1", tv_archive_duration="3"), "A", "News", "7",
                     {"catchup": "xc", "catchup-days": "3"}, id="an archive"),
        pytest.param(channel(7, "A", "1", stream_type="radio_streams", is_adult="1"), "A", "News", "7",
                     {"radio": "true", "is-adult": "1"}, id="a radio for adults"),
        pytest.param(channel(7, "A", "1", is_adult="None", stream_icon="file:///etc/passwd"), "A", "News", "7", {},
                     id="a word that is no yes, a picture that is none"),
    ],
)  # fmt: skip
def test_fields_are_made_what_they_should_be(
    house: House, panel: FakePanel, said: dict[str, object], name: str, group: str, number: str,
    attributes: dict[str, str],
) -> None:  # fmt: skip
    panel.answers["get_live_streams"] = [said]
    add(house, panel)
    assert house.refresh().status == "success"
    (stream,) = house.channels.streams()
    assert (stream.name, stream.group, stream.wanted_number, dict(stream.attributes)) == (
        name,
        group,
        number,
        attributes,
    )
    assert stream.logo == ""


ODD_NUMBERS = (
    json.dumps([channel(1, "One"), channel(2, "Two", added=1)])
    .replace('"added": 1,', '"added": 1e400, "x": NaN, "y": ' + "9" * 5000 + ",")
    .encode()
)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"0": channel(1, "One"), "5": channel(2, "Two")}, id="an object for a list"),
        pytest.param(b"\xef\xbb\xbf<br />\n<b>Warning</b>: mysqli [x] in y.php on line <b>3</b><br />\n"
                     + json.dumps([channel(1, "One"), channel(2, "Two")]).encode() + b"<br>bye", id="PHP around it"),
        pytest.param([channel(1, "One"), None, [], "x", channel(None, "lost"), channel(2, "Two"), channel(1, "again")],
                     id="entries that are none"),
        pytest.param(ODD_NUMBERS, id="numbers that are none"),
    ],
)  # fmt: skip
def test_whatever_php_makes_of_a_list_is_read(house: House, panel: FakePanel, answer: object) -> None:
    panel.answers["get_live_streams"] = answer
    add(house, panel)
    run = house.refresh()
    assert (run.status, run.streams) == ("success", 2)


@pytest.mark.skipif(not REAL.exists(), reason="the corpus is not here")
def test_a_real_panels_lists_lose_nothing(house: House, panel: FakePanel) -> None:
    for action in list(panel.answers):
        panel.answers[action] = (REAL / f"{action}.json").read_bytes()
    wanted = {action: json.loads(panel.answers[action]) for action in panel.answers}
    add(house, panel)
    run: Run = house.refresh()
    assert (run.status, run.streams, run.entries_skipped) == ("success", len(wanted["get_live_streams"]), 0)
    assert run.report["library"] == {
        "movie": len({one["stream_id"] for one in wanted["get_vod_streams"]}), "series": len(wanted["get_series"]),
    }  # fmt: skip
    assert sum(one.attributes.get("radio") == "true" for one in house.channels.streams()) == sum(
        one["stream_type"] == "radio_streams" for one in wanted["get_live_streams"]
    )
