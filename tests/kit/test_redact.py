"""No secret survives `redact`, in whatever form an address or a header carries it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import AerialError, BadAnswer, RateLimited, Unavailable
from servicekit.redact import redact

S = "S3CR3T-xyz"


@pytest.mark.parametrize(
    "text",
    [
        f"http://{S}@host/x",
        f"http://user:{S}@host/x",
        f"http://{S}:{S}@host:8080/x",
        f"HTTPS://user:{S}@HOST/",
        f"rtmp://u:{S}@host/app",
        f"http://user:a@{S}@host/x",
        f"http://user:pa/{S}@host/x",
        f"see http://user:{S}@host and more",
        f"http://h/get.php?username={S}&password={S}&type=m3u_plus",
        f"http://h/get.php?type=m3u&PASSWORD={S}",
        f"/player_api.php?username={S}&password={S}",
        f"http://h/x?token={S}#top",
        f"http://h/x?access_token={S}",
        f"http://h/x?X-Plex-Token={S}",
        f"http://h/x?plex_token={S}",
        f"http://h/x?api_key={S}&apikey={S}",
        f"http://h/x?sig={S}&mac={S}&sid={S}",
        f"http://h/p?url=http%3A%2F%2Fh2%2Fget.php%3Fusername%3D{S}%26password%3D{S}%26type%3Dm3u",
        f"http://h/live/{S}/{S}/17.ts",
        f"http://h:8080/movie/{S}/{S}/17.mkv",
        f"/series/{S}/{S}/17.mp4",
        f"/timeshift/{S}/{S}/60/2026-11-21:20-15/17.ts",
        f"http://h:8080/{S}/{S}/17",
        f"http://h:8080/{S}/{S}/17.ts",
        f"http://h:8080/{S}/{S}/17.m3u8?x=1",
        f"Authorization: Bearer {S}",
        f"authorization: basic {S}",
        "Authorization: Basic UzM6eA==",
        f"Cookie: {S}",
        f"X-Api-Key: {S}",
        f"{{'Authorization': 'Bearer {S}'}}",
        f'{{"username": "{S}", "password": "{S}"}}',
        f"{{'token': '{S}'}}",
        f"HTTPConnectionPool(host='h', port=80): Max retries exceeded with url: /get.php?username={S}&password={S}",
    ],
)
def test_a_secret_is_masked(text: str) -> None:
    shown = redact(text)
    assert S not in shown
    assert "UzM6eA" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/guide.xml",
        "http://host/logos/2026/a.png",
        "http://host/images/logo@2x.png",
        "http://host:8080/images/logo@2x.png",
        "http://192.168.1.5:8081/stream/bbc1.ts",
        "http://host/a?monkey=banana&page=2",
        "the token is in DATA/admin.token",
        "03:00 imported 5 programmes: 3 new",
        "no answer in the time allowed",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_the_host_and_the_number_stay_readable() -> None:
    assert redact(f"http://u:{S}@tv.example:8080/live/{S}/{S}/17.ts") == "http://***@tv.example:8080/live/***/***/17.ts"


def test_an_error_carries_its_detail_and_fields() -> None:
    error = BadAnswer("h answered 503", status=503, retry_after_s=7, provider=3)
    assert isinstance(error, AerialError)
    assert (str(error), error.detail, error.status, error.retry_after_s) == ("h answered 503",) * 2 + (503, 7)
    assert error.extra == {"provider": 3}
    assert Unavailable("x").retry_after_s == 5
    assert RateLimited("x", retry_after_s=9).retry_after_s == 9
