"""Whatever a panel answers: the readers give entries that can be stored, or say what is wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import BadAnswer
from stream_service.domain.account import account_of as account_again
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.titles import Episode, Title
from stream_service.sources.objects import objects
from stream_service.sources.panel import json_of
from stream_service.sources.xtream import Login, PanelListing, account_of, episodes_of

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["0", "1", "-1", "1e400", "N/A", "Unlimited", "null"])
    | st.sampled_from(["2018-08-25 16:47:02", "1539670803", "\ud83d"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "num", "name", "title", "stream_id", "series_id", "stream_type", "stream_icon", "cover", "epg_channel_id", "added",
    "last_modified", "category_id", "category_ids", "category_name", "tv_archive", "tv_archive_duration", "is_adult",
    "rating", "year", "container_extension", "plot", "backdrop_path", "releaseDate", "user_info", "id", "episode_num",
    "season", "info", "episodes",
]  # fmt: skip
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
ANSWERS = st.lists(OBJECTS | VALUES, max_size=5) | st.dictionaries(st.text(max_size=3), OBJECTS | VALUES, max_size=4)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def cut(body: bytes, size: int) -> Callable[[], list[bytes]]:
    return lambda: [body[at : at + size] for at in range(0, len(body), size)]


def storable(*said: Any) -> bool:
    """Whether a database takes it: no lone surrogate, no NUL, no number over 64 bits."""
    for one in said:
        if isinstance(one, str) and ("\0" in one or one.encode("utf-8") is None):
            return False
        if isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
            return False
    return True


@given(st.lists(ANSWERS, min_size=6, max_size=6), st.integers(1, 60))
def test_lists_of_anything_give_entries_that_can_be_stored(answers: list[Any], size: int) -> None:
    actions = ["get_live_categories", "get_live_streams", "get_vod_categories", "get_vod_streams",
               "get_series_categories", "get_series"]  # fmt: skip
    parts = {action: cut(encoded(answer), size) for action, answer in zip(actions, answers, strict=True)}
    listing = PanelListing(parts, Login("http://h", "u/", "p?"), Losses())
    try:
        found = list(listing)
    except BadAnswer:
        return
    for one in found:
        if isinstance(one, Entry):
            assert storable(
                one.name, one.tvg_id, one.group, one.logo, one.number, one.provider_id, *one.attributes.values()
            )
            assert one.name
            assert one.url.startswith("http://h/live/u%2F/p%3F/")
        elif isinstance(one, Title):
            assert storable(
                one.name, one.category, one.picture, one.year, one.rating, one.added_at, *one.details.values()
            )
            assert one.name
            assert one.container.isalnum() or one.kind == "series"
        else:
            assert isinstance(one, Episode)
    assert len({(type(one), getattr(one, "kind", ""), one.provider_id) for one in found}) == len(found)


@given(ANSWERS)
def test_series_of_anything_give_episodes_that_can_be_stored(answer: Any) -> None:
    try:
        found, details = episodes_of(json.loads(json.dumps(answer)), "series:1", Losses())
    except BadAnswer:
        return
    for one in found:
        assert storable(one.name, one.season, one.number, one.added_at, one.picture, *one.details.values())
    assert storable(*details.values())


ACCOUNT = ["auth", "status", "exp_date", "max_connections", "active_cons", "allowed_output_formats", "timezone"]
ACCOUNTS = st.dictionaries(
    st.sampled_from(["user_info", "server_info"]), OBJECTS | VALUES | st.dictionaries(st.sampled_from(ACCOUNT), VALUES)
)


@given(ACCOUNTS | VALUES)
def test_an_account_of_anything_can_be_kept_and_read_again(answer: Any) -> None:
    try:
        account = account_of(answer, base_url="http://h", now_s=1_700_000_000)
    except BadAnswer:
        return
    assert account_again(json.loads(json.dumps(account.as_dict()))) == account
    assert storable(account.message, account.expires_at, account.max_connections, account.active, account.timezone)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_break_the_reader(chunks: list[bytes]) -> None:
    for body in (chunks, [b"[", *chunks], [b'{"0":', *chunks, b"}"]):
        try:
            list(objects(body))
        except BadAnswer:
            continue
    _tried(b"".join(chunks))


def _tried(body: bytes) -> None:
    try:
        json_of(body)
    except BadAnswer:
        return


FINITE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)


@given(st.lists(st.dictionaries(st.text(max_size=4), FINITE, max_size=4), max_size=5), st.integers(1, 50))
def test_a_list_reads_the_same_however_it_comes_in(said: list[dict[str, Any]], size: int) -> None:
    body = json.dumps(said).encode()
    wanted = [one for one in json.loads(body) if all(abs(v) < 10**19 for v in one.values() if isinstance(v, int))]
    found = [value for _, value in objects(cut(body, size)())]
    assert [one for one in found if one in wanted] == wanted


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"a":' * 200_000, b'["' + b"x" * 3_000_000], ids=["deep", "deeper", "long"]
)
def test_hostile_sizes_end_soon(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        list(objects([body[at : at + 65_536] for at in range(0, len(body), 65_536)]))
