"""Which stream of the last list is which entry of the new one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.channel_ids import is_channel_id, natural_id, new_channel_id
from stream_service.domain.identity import RULE_NAMES, adopt, provider_id_of, reconcile
from stream_service.domain.model import StreamKeys


def keys(
    ident: int, *, tvg_id: str = "", name: str = "N", group: str = "G", url: str = "", provider_id: str = ""
) -> StreamKeys:
    return StreamKeys(ident, provider_id or provider_id_of(url), tvg_id, name, group, url or f"http://h/{ident}x")


def matched(
    old: list[StreamKeys], new: list[StreamKeys], retained: list[StreamKeys] | None = None
) -> dict[int, tuple[int, str]]:
    return reconcile(old, new, retained=retained or []).matches


def test_the_rules_stand_in_the_agreed_order() -> None:
    assert RULE_NAMES == ("provider-id", "kind", "tvg-id", "name", "path")


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        pytest.param(
            "provider-id",
            keys(1, name="A", url="http://h/live/u/p/77.ts"),
            keys(0, name="B", group="Other", url="http://other/live/x/y/77.m3u8"),
            id="the provider's id in the address",
        ),
        pytest.param(
            "kind",
            keys(1, tvg_id="a", name="A", group="G", url="http://h/1?token=1"),
            keys(0, tvg_id="a", name="A", group="G", url="http://h/2?token=2"),
            id="a new address",
        ),
        pytest.param(
            "tvg-id",
            keys(1, tvg_id="A.uk", name="A"),
            keys(0, tvg_id="a.UK", name="A HD", group="New", url="http://h/9"),
            id="renamed and moved",
        ),
        pytest.param("name", keys(1, tvg_id="old", name="A"), keys(0, tvg_id="new", name="A"), id="another tvg-id"),
        pytest.param(
            "path",
            keys(1, name="A", url="http://h/hls/a/index.m3u8?t=1"),
            keys(0, name="B", url="https://cdn/hls/a/index.m3u8?t=2"),
            id="the path alone",
        ),
    ],
)
def test_each_rule_finds_its_stream(rule: str, old: StreamKeys, new: StreamKeys) -> None:
    assert matched([old], [new]) == {0: (1, rule)}


def test_the_first_rule_that_is_sure_wins() -> None:
    old = [keys(1, tvg_id="a", name="A", url="http://h/live/u/p/1.ts"), keys(2, tvg_id="b", name="B")]
    new = [keys(0, tvg_id="b", name="B", url="http://h/live/u/p/1.ts"), keys(1, tvg_id="a", name="A")]
    assert matched(old, new) == {0: (1, "provider-id")}  # 2 and the second entry share nothing


def test_likes_are_told_apart_by_their_place() -> None:
    old = [keys(n, tvg_id="a", name="A") for n in (11, 12, 13)]
    new = [keys(n, tvg_id="a", name="A", url=f"http://new/{n}") for n in (0, 1, 2, 3)]
    assert matched(old, new) == {0: (11, "kind"), 1: (12, "kind"), 2: (13, "kind")}


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_doubtful_pair_is_left_alone(side: str) -> None:
    one = [keys(1, tvg_id="a", name="A", group="1")]
    two = [keys(2, tvg_id="a", name="B", group="2"), keys(3, tvg_id="a", name="C", group="3")]
    assert matched(one, two) == {} if side == "new" else matched(two, one) == {}


def test_doubt_in_one_rule_is_settled_by_a_later_one() -> None:
    old = [keys(1, tvg_id="x", name="A", group="g1"), keys(2, tvg_id="x", name="B", group="g1")]
    new = [keys(0, tvg_id="y", name="B", group="g1"), keys(5, tvg_id="x", name="Z"), keys(6, tvg_id="x", name="Y")]
    assert matched(old, new) == {0: (2, "name")}


def test_a_stream_that_was_kept_comes_back_but_one_that_left_now_goes_first() -> None:
    left_now, left_before = keys(1, tvg_id="a", name="Now"), keys(2, tvg_id="a", name="Before")
    assert matched([left_now], [keys(0, tvg_id="a", name="Third")], [left_before]) == {0: (1, "tvg-id")}
    assert matched([left_now], [keys(0, tvg_id="a", name="Before")], [left_before]) == {0: (2, "kind")}


def test_the_report_says_which_rule_found_how_many() -> None:
    found = reconcile([keys(1, name="A"), keys(2, name="B")], [keys(0, name="A"), keys(1, name="B")])
    assert found.by_rule() == {"kind": 2}


@pytest.mark.parametrize(
    ("url", "ident"),
    [
        ("http://h:8080/live/user/pass/1234.ts", "live:1234"),
        ("http://h/live/u/p/1234", "live:1234"),
        ("https://h/base/movie/u/p/9.mkv?x=1", "movie:9"),
        ("http://h/series/u/p/9.mp4", "series:9"),
        ("http://h/live/channel/1234", ""),
        ("http://h/live/u/p/abc.ts", ""),
        ("http://h/live/u/p/٣.ts", ""),
        ("http://[broken/live/u/p/1.ts", ""),
    ],
)
def test_the_provider_id_is_read_from_xtream_addresses(url: str, ident: str) -> None:
    assert provider_id_of(url) == ident


def test_channels_without_stream_are_taken_over_by_their_likes() -> None:
    orphans = [("bbc1", keys(0, tvg_id="bbc1.uk", name="BBC One")), ("n-1", keys(0, name="News", group="G"))]
    new = [keys(5, name="News", group="G"), keys(6, tvg_id="BBC1.uk", name="BBC 1 HD"), keys(7, name="Other")]
    assert adopt(orphans, new) == {5: "n-1", 6: "bbc1"}


@given(
    st.lists(
        st.builds(
            StreamKeys,
            id=st.just(0),
            provider_id=st.sampled_from(["", "live:1", "live:2"]),
            tvg_id=st.sampled_from(["", "a", "b"]),
            name=st.sampled_from(["A", "B"]),
            group=st.sampled_from(["", "G"]),
            url=st.sampled_from(["http://h/1", "http://h/2", "http://h/"]),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
)
def test_nothing_is_matched_twice_and_a_list_finds_itself(streams: list[StreamKeys], cut: int) -> None:
    numbered = [StreamKeys(i, s.provider_id, s.tvg_id, s.name, s.group, s.url) for i, s in enumerate(streams)]
    found = reconcile(numbered[:cut], numbered[cut:]).matches
    assert len({stream_id for stream_id, _ in found.values()}) == len(found)
    whole = reconcile(numbered, numbered).matches
    assert sorted(whole) == sorted(stream_id for stream_id, _ in whole.values()) == list(range(len(numbered)))


@pytest.mark.parametrize(
    ("tvg_id", "name", "ident"),
    [
        ("BBC1.uk", "BBC One", "BBC1.uk"),
        ("AndorraTV.ad@SD", "", "AndorraTV.ad-SD"),
        ("", "Das Erste HD (1080p)", "Das-Erste-HD-1080p"),
        ("", "Télé & Café", "Tele-Cafe"),
        ("123", "", "ch-123"),
        ("", "24", "ch-24"),
        ("../../etc/passwd", "", "etc-passwd"),
        ("a b/c", "", "a-b-c"),
    ],
)
def test_ids_are_made_from_the_tvg_id_else_the_name(tvg_id: str, name: str, ident: str) -> None:
    assert natural_id(tvg_id=tvg_id, name=name) == ident


def test_ids_are_unique_whatever_the_case() -> None:
    assert new_channel_id(tvg_id="BBC", name="", taken={"bbc", "bbc-2"}) == "BBC-3"


def test_names_in_other_scripts_have_ids_of_their_own() -> None:
    one, other = natural_id(tvg_id="", name="Первый канал"), natural_id(tvg_id="", name="Второй канал HD")
    assert one != other
    assert one == natural_id(tvg_id="", name="Первый канал")


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_comes_in_an_id_is_an_id(tvg_id: str, name: str) -> None:
    ident = new_channel_id(tvg_id=tvg_id, name=name, taken=set())
    assert is_channel_id(ident)
    assert not re.fullmatch("[0-9]+", ident)
    assert ident not in (".", "..")
