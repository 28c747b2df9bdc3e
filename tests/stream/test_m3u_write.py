"""Writing a lineup as M3U, and reading it back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.lineup import LineupView
from stream_service.domain.losses import Losses
from stream_service.domain.model import LineupChannel
from stream_service.domain.text import clean
from stream_service.outputs.m3u import text
from stream_service.outputs.origin import ORIGIN, with_origin
from stream_service.sources.m3u import Playlist

HOME = "http://192.168.1.5:8081"


def text_of(*channels: LineupChannel, lineup: str = "default", origin: str = HOME) -> str:
    return with_origin(text(LineupView(lineup, channels)), origin).decode()


def test_a_channel_is_written_as_players_want_it() -> None:
    channel = LineupChannel(
        id="bbc1.uk", number="5.1", name="BBC One, London", tvg_id="x", group="News", logo="http://l/1.png"
    )
    assert text_of(channel) == (
        f'#EXTM3U x-tvg-url="{HOME}/lineups/default/epg.xml.gz" url-tvg="{HOME}/lineups/default/epg.xml.gz"\n'
        '#EXTINF:-1 tvg-id="bbc1.uk" tvg-name="BBC One, London" tvg-chno="5.1" channel-id="bbc1.uk" '
        'tvg-logo="http://l/1.png" group-title="News",BBC One, London\n'
        f"{HOME}/stream/bbc1.uk.ts\n"
    )


def test_an_empty_lineup_is_a_valid_list() -> None:
    assert text_of().startswith("#EXTM3U ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param('The "Best" TV', "The 'Best' TV", id="quotes"),
        pytest.param("A\r\n#EXTINF:-1,Evil\nhttp://evil/", "A #EXTINF:-1,Evil http://evil/", id="line ends"),
        pytest.param("A\x85B\u2028C\x0bD", "A B C D", id="other line ends"),
        pytest.param(f"A{ORIGIN}B", "A origin B", id="our own token"),
        pytest.param("\x00", "id1", id="nothing left"),
    ],
)
def test_hostile_names_stay_on_their_line(name: str, shown: str) -> None:
    text = text_of(LineupChannel(id="id1", number="1", name=name))
    assert text.split("\n")[1].endswith(f",{shown}")
    assert len(text.split("\n")) == 4


def test_radio_stays_radio() -> None:
    channel = LineupChannel(id="r", number="1", name="R", attributes={"radio": "true"})
    assert ' radio="true",R' in text_of(channel)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"catchup": "xc", "catchup-days": "3"}, id="a panel"),
        pytest.param({"catchup": "append", "catchup-source": "?ago={offset:1}", "catchup-days": "3"}, id="behind it"),
        pytest.param(
            {"catchup": "default", "catchup-source": "http://p/u/p/{utc}", "catchup-days": "3"}, id="template"
        ),
        pytest.param({"catchup": "flussonic", "catchup-days": "3", "catchup-correction": "-2"}, id="corrected"),
        pytest.param({"tvg-rec": "3"}, id="days alone"),
    ],
)
def test_the_past_is_asked_of_us_whatever_the_providers_way(told: dict[str, str]) -> None:
    text = text_of(LineupChannel(id="a", number="1", name="A", attributes=told))
    ours = f'catchup="default" catchup-days="3" catchup-source="{HOME}/stream/a.ts?utc={{utc}}&duration={{duration}}"'
    assert text.split("\n")[1].endswith(f" {ours},A")


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            {"catchup": "append", "catchup-days": "3", "catchup-source": "?utc={utc}&lutc={lutc}"}, id="append"
        ),
        pytest.param({"catchup": "shift", "catchup-days": "3"}, id="shift"),
    ],
)
def test_words_of_the_provider_that_hold_for_our_addresses_are_passed_on(told: dict[str, str]) -> None:
    said = " ".join(f'{key}="{value}"' for key, value in told.items())
    assert text_of(LineupChannel(id="a", number="1", name="A", attributes=told)).split("\n")[1].endswith(f" {said},A")


def test_where_nothing_of_the_past_is_kept_nothing_is_said_of_it() -> None:
    told = {"catchup": "0", "catchup-days": "7", "catchup-source": "http://p/u/p/{utc}"}
    assert "catchup" not in text_of(LineupChannel(id="a", number="1", name="A", attributes=told))


def test_every_prefix_of_a_proxy_is_kept() -> None:
    channel = LineupChannel(id="a", number="1", name="A")
    assert "https://tv.example/tv/stream/a.ts" in text_of(channel, origin="https://tv.example/tv")


_words = st.text(max_size=30)
_channels = st.builds(
    LineupChannel,
    id=st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True),
    number=st.from_regex(r"[1-9][0-9]{0,3}(\.[1-9])?", fullmatch=True),
    name=_words,
    tvg_id=_words,
    group=_words,
    logo=st.one_of(st.just(""), st.just("http://logos.example/a b.png")),
)


@given(st.lists(_channels, max_size=6))
def test_what_is_written_reads_back_the_same(channels: list[LineupChannel]) -> None:
    text = text_of(*channels)
    losses = Losses()
    entries = list(Playlist([text.encode()], losses=losses))
    assert losses.entries_lost == 0
    assert [(e.tvg_id, e.number, e.url) for e in entries] == [
        (c.id, c.number, f"{HOME}/stream/{c.id}.ts") for c in channels
    ]
    again = text_of(
        *(LineupChannel(id=e.tvg_id, number=e.number, name=e.name, group=e.group, logo=e.logo) for e in entries)
    )
    second = list(Playlist([again.encode()], losses=Losses()))
    assert [(e.name, e.group) for e in second] == [(e.name, e.group) for e in entries]
    assert all(re.match(rf"#|{re.escape(HOME)}/stream/", line) for line in text.rstrip("\n").split("\n"))


@given(st.lists(_channels, max_size=4))
def test_the_same_lineup_gives_the_same_bytes(channels: list[LineupChannel]) -> None:
    assert text_of(*channels) == text_of(*channels)


_told = st.text(max_size=20).map(clean).filter(lambda text: '"' not in text)
_attributes = st.fixed_dictionaries(
    {},
    optional={
        "radio": st.just("true"),
        "tvg-shift": st.sampled_from(["1", "-2"]),
        "tvg-language": _told.filter(bool),
    },
)
_whole = st.builds(
    LineupChannel,
    id=st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True),
    number=st.from_regex(r"[1-9][0-9]{0,3}(\.[1-9])?", fullmatch=True),
    name=_told.filter(bool),
    group=_told.map(lambda text: clean(text.replace(",", " "))),
    logo=st.sampled_from(["", "http://logos.example/a.png"]),
    attributes=_attributes,
)


@given(st.lists(_whole, max_size=6))
def test_a_lineup_is_the_same_lineup_after_writing_and_reading(channels: list[LineupChannel]) -> None:
    entries = list(Playlist([text_of(*channels).encode()], losses=Losses()))
    again = [
        LineupChannel(
            *(entry.attributes["channel-id"], entry.number, entry.name, "", entry.group, entry.logo),
            attributes={key: value for key, value in entry.attributes.items() if key != "channel-id"},
        )
        for entry in entries
    ]
    assert again == channels
    assert [entry.tvg_name for entry in entries] == [channel.name for channel in channels]


def test_a_guide_id_of_the_providers_own_is_written_when_that_is_asked_for() -> None:
    channels = [LineupChannel("a", "1", "A", tvg_id="A b"), LineupChannel("b", "2", "B")]
    view = LineupView("default", channels, tvg_id="source")
    assert re.findall(rb'tvg-id="([^"]*)"', text(view)) == [b"A b", b"b"]
