"""The one way out: judged addresses, redirects, limits of size and time, and the bare socket for the relay."""

import contextlib
import gzip
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from servicekit import fetch, judged
from servicekit.addresses import AddressPolicy, checked_url
from servicekit.errors import AerialError, BadAnswer, Invalid, Refused, Unreachable
from servicekit.fetch import Answer, Fetcher
from tests.providerkit import Reply, ScriptedProvider

SECRET = "S3CR3T-xyz"


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(policy=AddressPolicy(), timeout_s=20)


class Canary:
    """A listener that must not be connected to."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((host, 0))
        self.port: int = self.listener.getsockname()[1]

    def was_touched(self) -> bool:
        readable, _, _ = select.select([self.listener], [], [], 0)
        return bool(readable)


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.listener.close()


def names(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> None:
    """Stands in for the resolver: names of `table` have its addresses, in order; each look-up of one is a new turn."""
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host not in table:
            return real(host, port, *args, **kwargs)
        return [answer for one in table[host] for answer in real(one, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def body(answer: Answer) -> bytes:
    with answer:
        return b"".join(answer.chunks())


# ---- which addresses -------------------------------------------------------------------------------------------------

LITERALS = [
    "127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0", "0.0.0.0", "localhost", "[::1]", "[::]",
    "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "127.0.0.1.", "LOCALHOST", "①②⑦.⓪.⓪.①",
]  # fmt: skip


@pytest.mark.parametrize("host", LITERALS)
def test_content_reaches_no_private_address_in_whatever_spelling(fetcher: Fetcher, canary: Canary, host: str) -> None:
    with pytest.raises((Refused, Unreachable, Invalid)):
        fetcher.open(f"http://{host}:{canary.port}/", typed=False)
    assert not canary.was_touched()


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "127.0.0.1"])
def test_an_administrator_may_type_this_machine_in_any_spelling(
    fetcher: Fetcher, provider: ScriptedProvider, host: str
) -> None:
    provider.serve("/a", "text")
    assert body(fetcher.open(f"http://{host}:{provider.port}/a")) == b"text"


@pytest.mark.parametrize("host", ["0", "0.0.0.0", "[::]", "169.254.169.254", "[::ffff:169.254.169.254]", "224.0.0.1"])
def test_nowhere_and_metadata_are_refused_to_an_administrator_too(fetcher: Fetcher, canary: Canary, host: str) -> None:
    with pytest.raises(Refused):
        fetcher.open(f"http://{host}:{canary.port}/", typed=True)
    assert not canary.was_touched()


@pytest.mark.parametrize(
    "url",
    [
        "http://evil\\@127.0.0.1/", "http://a\nb/", "http://a\tb/", "http://a b/", " http://a/", "http://a/\x00",
        "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "", "http://",
        "http:///x", "http://[::1/", "http://[zz]/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
        "http://127.0.0.1:0/", "data:text/plain,x", "http:127.0.0.1",
    ],
)  # fmt: skip
def test_what_is_no_http_address_is_refused_before_anything(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(Invalid):
        checked_url(url)
    with pytest.raises(Invalid):
        fetcher.open(url)


def test_a_name_that_means_a_private_address_is_refused_to_content(
    fetcher: Fetcher, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"rebound.example": ["127.0.0.1"]})
    with pytest.raises(Refused, match="named by content"):
        fetcher.open(f"http://rebound.example:{canary.port}/", typed=False)
    assert not canary.was_touched()


def test_only_the_address_that_was_judged_is_connected_to(
    fetcher: Fetcher, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"both.example": ["93.184.216.34", "127.0.0.1"]})
    dialled: list[str] = []

    def dial(family: socket.AddressFamily, address: tuple[Any, ...], timeout_s: float) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError("not today")

    monkeypatch.setattr(judged, "_dial", dial)
    with pytest.raises(Unreachable, match="not today"):
        fetcher.open(f"http://both.example:{canary.port}/", typed=False)
    assert dialled == ["93.184.216.34"]
    assert not canary.was_touched()


def test_the_next_address_is_tried_when_one_does_not_answer(
    fetcher: Fetcher, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"two.example": ["127.0.0.9", "127.0.0.1"]})
    provider.serve("/a", "text")
    assert body(fetcher.open(f"http://two.example:{provider.port}/a")) == b"text"


def test_an_administrators_private_provider_may_name_private_things(
    fetcher: Fetcher, provider: ScriptedProvider
) -> None:
    provider.serve("/a", "text")
    with fetcher.open(provider.url("/a")) as first:
        assert first.private
    assert body(fetcher.open(provider.url("/a"), typed=False, private_ok=first.private)) == b"text"


def test_allow_and_deny_of_the_operator_reach_the_connection(provider: ScriptedProvider) -> None:
    provider.serve("/a", "text")
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    assert body(Fetcher(policy=AddressPolicy(allow=loopback)).open(provider.url("/a"), typed=False)) == b"text"
    with pytest.raises(Refused, match=r"fetch\.deny"):
        Fetcher(policy=AddressPolicy(deny=loopback)).open(provider.url("/a"))


def test_proxies_of_the_environment_are_not_followed(
    fetcher: Fetcher, provider: ScriptedProvider, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    provider.serve("/a", "text")
    assert body(fetcher.open(provider.url("/a"))) == b"text"
    assert not canary.was_touched()


# ---- redirects -------------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed_and_told(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.redirect("/old", "new?x=1", status=301)
    provider.serve("/new", "text")
    with fetcher.open(provider.url("/old")) as answer:
        assert (answer.status, answer.url) == (200, provider.url("/new?x=1"))
        assert b"".join(answer.chunks()) == b"text"


def test_a_public_provider_may_not_redirect_into_the_house(
    fetcher: Fetcher, provider: ScriptedProvider, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"public.example": ["93.184.216.34"]})
    real = judged._dial
    monkeypatch.setattr(
        judged,
        "_dial",
        lambda family, address, timeout_s: real(family, ("127.0.0.1", *address[1:]), timeout_s),
    )
    for host in ("127.0.0.1", "localhost", "[::ffff:7f00:1]"):
        provider.redirect("/a", f"http://{host}:{canary.port}/")
        with pytest.raises(Refused, match="named by content"):
            fetcher.open(f"http://public.example:{provider.port}/a")
    assert not canary.was_touched()


def test_no_redirect_leads_to_metadata(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.redirect("/a", "http://169.254.169.254/latest/meta-data/")
    with pytest.raises(Refused):
        fetcher.open(provider.url("/a"))


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1", "http://a b/", "http://h:99999/", "gopher://h/"],
)
def test_a_redirect_to_something_else_than_http_is_a_bad_answer(
    fetcher: Fetcher, provider: ScriptedProvider, target: str
) -> None:
    provider.redirect("/a", target)
    with pytest.raises(BadAnswer, match="redirects to an address that cannot be fetched"):
        fetcher.open(provider.url("/a"))


def test_a_circle_of_redirects_ends(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.redirect("/a", "/b")
    provider.redirect("/b", "/a")
    with pytest.raises(BadAnswer, match="more than 5 redirects"):
        fetcher.open(provider.url("/a"))
    assert len(provider.requests) == 6


KEYS = {
    "Authorization": f"Bearer {SECRET}",
    "Cookie": SECRET,
    "X-Panel-Key": SECRET,
    "User-Agent": "Box/1",
    "Referer": "http://r/",
}


def test_credentials_do_not_go_along_to_another_origin(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    with ScriptedProvider() as other:
        provider.redirect("/a", other.url("/b"))
        other.serve("/b", "text")
        url = provider.url("/a").replace("//", f"//user:{SECRET}@")
        assert body(fetcher.open(url, headers={k: v for k, v in KEYS.items() if k != "Authorization"})) == b"text"
        fetcher.open(provider.url("/a"), headers=KEYS).close()
        for _, _, headers in other.requests:
            assert SECRET not in repr(headers)
            assert "dXNlc" not in repr(headers)
            assert (headers["User-Agent"], headers["Referer"]) == ("Box/1", "http://r/")


def test_credentials_go_along_within_an_origin(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.redirect("/a", "/b")
    provider.serve("/b", "text")
    fetcher.open(provider.url("/a"), headers=KEYS).close()
    assert provider.requests[-1].headers["X-Panel-Key"] == SECRET
    fetcher.open(provider.url("/a").replace("//", "//user:word@")).close()
    assert provider.requests[-1].headers["Authorization"] == "Basic dXNlcjp3b3Jk"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b", True),
        ("https://u@h/a", "https://H:443/b", True),
        ("http://h/a", "https://h/b", True),
        ("https://h/a", "http://h/b", False),
        ("http://h/a", "http://h:81/b", False),
        ("http://h:81/a", "https://h/b", False),
        ("http://h/a", "http://h.evil/b", False),
        ("http://h/a", "http://h@evil/b", False),
    ],
)
def test_what_counts_as_the_same_origin(one: str, other: str, same: bool) -> None:
    assert fetch._same_origin(one, other) is same


def test_the_body_of_a_redirect_is_not_read(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.serve("/b", "text")

    def endless(send: Any, stopping: threading.Event) -> bool:
        while not stopping.wait(0.001):
            send(b"x" * 1_000)
        return False

    provider.script("/a", lambda asked: Reply(302, {"Location": "/b"}, length=-1, wire=endless))
    assert body(fetcher.open(provider.url("/a"), total_s=10)) == b"text"


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_a_known_etag_gives_304(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.serve("/a", "text", etag='"1"')
    with fetcher.open(provider.url("/a"), headers={"If-None-Match": '"1"'}) as answer:
        assert (answer.status, answer.headers["etag"]) == (304, '"1"')
        assert list(answer.chunks()) == []


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_bad_status_is_a_bad_answer(fetcher: Fetcher, provider: ScriptedProvider, status: int) -> None:
    provider.serve("/a", "no", status, headers={"Retry-After": "17"})
    with pytest.raises(BadAnswer, match=f"answered {status}") as caught:
        fetcher.open(provider.url("/a"))
    assert (caught.value.status, caught.value.retry_after_s) == (status, 17)


@pytest.mark.parametrize("later", ["soon", "-1", "99999999999", "١"])
def test_a_retry_after_that_is_no_number_is_left_out(fetcher: Fetcher, provider: ScriptedProvider, later: str) -> None:
    provider.script("/a", lambda asked: Reply(503, {"Retry-After": later.encode().decode("latin-1")}))
    with pytest.raises(BadAnswer) as caught:
        fetcher.open(provider.url("/a"))
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    ("date", "later", "pause_s"),
    [
        ("Sat, 21 Nov 2026 14:00:00 GMT", "Sat, 21 Nov 2026 14:01:30 GMT", 90),
        ("Sat, 21 Nov 2026 14:00:00 GMT", "Sat, 21 Nov 2026 13:00:00 GMT", 0),
        ("nonsense", "Fri, 01 Jan 1999 00:00:00 GMT", 0),
    ],
)
def test_a_retry_after_may_be_a_date(
    fetcher: Fetcher, provider: ScriptedProvider, date: str, later: str, pause_s: int
) -> None:
    provider.script("/a", lambda asked: Reply(429, {"Date": date, "Retry-After": later}))
    with pytest.raises(BadAnswer) as caught:
        fetcher.open(provider.url("/a"))
    assert caught.value.retry_after_s == pause_s


@pytest.mark.parametrize("how", ["plain", "chunked", "no length", "gzip"])
def test_the_body_comes_as_it_was_sent(fetcher: Fetcher, provider: ScriptedProvider, how: str) -> None:
    data = bytes(range(256)) * 2_000
    provider.serve("/a", data, chunked=how == "chunked", length=-1 if how == "no length" else None,
                   gzip_by="coding" if how == "gzip" else "")  # fmt: skip
    got = body(fetcher.open(provider.url("/a")))
    assert (gzip.decompress(got) if how == "gzip" else got) == data


def test_pieces_come_when_they_are_there_not_when_they_are_many(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.drip("/a", b"piece", piece=5, pause_s=0.01, repeat=True)
    with fetcher.open(provider.url("/a")) as answer:
        assert answer.read1() != b""
        assert len(next(iter(answer.chunks()))) < 1_000


@pytest.mark.parametrize("how", ["told", "untold", "chunked", "exactly"])
def test_a_body_over_the_limit_is_refused(fetcher: Fetcher, provider: ScriptedProvider, how: str) -> None:
    provider.serve("/a", b"x" * 10_000, chunked=how == "chunked", length=-1 if how == "untold" else None)
    if how == "exactly":
        assert len(body(fetcher.open(provider.url("/a"), max_bytes=10_000))) == 10_000
        return
    with pytest.raises(BadAnswer, match=r"more than 9999 .*fetch\.max_bytes"):
        body(fetcher.open(provider.url("/a"), max_bytes=9_999))


def test_a_body_that_ends_early_is_unreachable_not_short(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.cut("/a", b"x" * 10_000, after=5_000)
    provider.script("/c", lambda asked: Reply(chunked=True, wire=lambda send, stopping: bool(send(b"5\r\nab"))))
    provider.script("/d", lambda asked: Reply(chunked=True, wire=lambda send, stopping: bool(send(b"5\r\nabcde\r\n"))))
    for path in ("/a", "/c", "/d"):
        with pytest.raises(Unreachable, match="the connection ended before the answer was whole"):
            body(fetcher.open(provider.url(path)))


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hang", "hang after the head", "drip of the body", "drip of the head"])
def test_whatever_takes_too_long_ends(fetcher: Fetcher, provider: ScriptedProvider, how: str) -> None:
    if how.startswith("hang"):
        provider.hang("/a", after_head=how != "hang")
    elif how == "drip of the body":
        provider.drip("/a", b"x" * 100_000, piece=1, pause_s=0.02)
    else:
        provider.script("/a", _endless_head)
    with pytest.raises(Unreachable, match="time allowed"):
        body(fetcher.open(provider.url("/a"), total_s=0.4))


def _endless_head(asked: object) -> Reply:
    """A head with one header more every moment: each read is short, the whole is endless."""

    def more(send: Any, stopping: threading.Event) -> bool:
        while not stopping.wait(0.02):
            send(b"X-More: 1\r\n")
        return False

    return Reply(wire=more, open_head=True)


@pytest.mark.parametrize("script", ["hang", "head"])
def test_each_wait_for_bytes_has_its_own_limit(fetcher: Fetcher, provider: ScriptedProvider, script: str) -> None:
    if script == "hang":
        provider.hang("/a")
    else:
        provider.script("/a", _endless_head)
    with pytest.raises(Unreachable, match="time allowed"):
        fetcher.open(provider.url("/a"), read_timeout_s=0.3)


def test_redirects_share_the_time_of_the_whole(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    provider.redirect("/a", "/slow")
    provider.hang("/slow")
    with pytest.raises(Unreachable):
        fetcher.open(provider.url("/a"), total_s=0.3)


def test_a_name_that_does_not_resolve_is_told(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Unreachable, match=r"the name nowhere\.example cannot be resolved: .*not known"):
        fetcher.open("http://nowhere.example/")


def test_a_resolver_that_hangs_is_not_waited_for(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(*args: Any, **kwargs: Any) -> Any:
        let_go.wait(60)
        raise socket.gaierror(-2, "late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(judged, "RESOLVE_TIMEOUT_S", 0.2)
    try:
        with pytest.raises(Unreachable, match="not resolved within"):
            fetcher.open("http://slow.example/")
    finally:
        let_go.set()


def test_nobody_listening_is_unreachable(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        fetcher.open(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("path", ["/404", "/cut", "/html", "/loop", "/far"])
def test_no_error_tells_a_secret(fetcher: Fetcher, provider: ScriptedProvider, path: str) -> None:
    provider.cut("/cut", b"x" * 100, after=1)
    provider.redirect("/loop", f"/loop?password={SECRET}")
    provider.redirect("/far", f"ftp://u:{SECRET}@h/x?token={SECRET}")
    url = provider.url(f"{path}?username=u&password={SECRET}").replace("//", f"//u:{SECRET}@")
    with pytest.raises(AerialError) as caught:
        body(fetcher.open(url, max_bytes=10))
    assert SECRET not in caught.value.detail


def test_a_header_cannot_smuggle_another(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    for value in ("a\r\nX-Evil: 1", "a\nb", "ä€"):
        with pytest.raises(Invalid):
            fetcher.open(provider.url("/a"), headers={"X-One": value})
    assert provider.requests == []


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[ScriptedProvider]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with ScriptedProvider(tls=context) as running:
        running.serve("/a", b"text" * 10_000)
        yield running


def test_tls_is_checked_against_the_bundle(secure: ScriptedProvider, authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    knowing = Fetcher(policy=AddressPolicy(), ca_bundle=str(bundle))
    assert body(knowing.open(f"https://localhost:{secure.port}/a")) == b"text" * 10_000
    with knowing.open(secure.url("/a")) as answer:
        assert answer.raw_socket() is None, "what is on the wire is not the body"
        assert answer.read1(4) == b"text"


def test_an_unknown_authority_and_a_wrong_name_are_unreachable(
    fetcher: Fetcher, secure: ScriptedProvider, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable, match="certificate"):
        fetcher.open(secure.url("/a"))
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    names(monkeypatch, {"other.example": ["127.0.0.1"]})
    with pytest.raises(Unreachable, match="certificate"):
        Fetcher(policy=AddressPolicy(), ca_bundle=str(bundle)).open(f"https://other.example:{secure.port}/a")


# ---- the bare socket -------------------------------------------------------------------------------------------------


def drained(bare: socket.socket, early: bytes, wanted: int) -> bytes:
    """`early` and what the non-blocking socket gives after it."""
    got, end = bytearray(early), time.monotonic() + 20
    while len(got) < wanted and time.monotonic() < end:
        if select.select([bare], [], [], 1)[0]:
            piece = bare.recv(65_536)
            if not piece:
                break
            got += piece
    return bytes(got)


@pytest.mark.parametrize("length", [None, -1], ids=["with a length", "without"])
@pytest.mark.parametrize("size", [1, 100, 8_192, 300_000])
def test_early_bytes_and_the_socket_are_the_body_whole_and_in_order(
    fetcher: Fetcher, provider: ScriptedProvider, size: int, length: int | None
) -> None:
    data = bytes(number * 7 % 251 for number in range(size))
    provider.serve("/a", data, length=length)
    with fetcher.open(provider.url("/a")) as answer:
        found = answer.raw_socket()
        assert found is not None
        assert answer.left_bytes == (None if length else size)
        bare, early = found
        assert bare.getblocking() is False
        assert drained(bare, early, len(data)) == data


def test_the_socket_can_be_taken_before_the_first_byte_and_after_some(
    fetcher: Fetcher, provider: ScriptedProvider
) -> None:
    data = bytes(range(200)) * 10
    gate = threading.Event()

    def late(send: Any, stopping: threading.Event) -> bool:
        gate.wait(20)
        send(data)
        stopping.wait(20)
        return False

    provider.script("/late", lambda asked: Reply(length=-1, wire=late))
    with fetcher.open(provider.url("/late")) as answer:
        found = answer.raw_socket()
        assert found is not None
        assert found[1] == b""
        gate.set()
        assert drained(*found, len(data)) == data
    provider.serve("/some", data, length=-1)
    with fetcher.open(provider.url("/some")) as answer:
        first = answer.read1(10)
        found = answer.raw_socket()
        assert found is not None
        assert first + drained(*found, len(data) - len(first)) == data


@pytest.mark.parametrize("how", ["chunked", "gzip", "empty"])
def test_there_is_no_bare_socket_where_the_wire_is_not_the_body(
    fetcher: Fetcher, provider: ScriptedProvider, how: str
) -> None:
    data = b"" if how == "empty" else b"text" * 1_000
    provider.serve("/a", data, chunked=how == "chunked", gzip_by="coding" if how == "gzip" else "")
    with fetcher.open(provider.url("/a")) as answer:
        assert answer.raw_socket() is None
        got = b"".join(answer.chunks())
    assert (gzip.decompress(got) if how == "gzip" else got) == data


def test_closing_an_answer_ends_its_connection(fetcher: Fetcher, provider: ScriptedProvider) -> None:
    ended = threading.Event()

    def until_gone(send: Any, stopping: threading.Event) -> bool:
        try:
            while not stopping.wait(0.01):
                send(b"x" * 1_000)
        except OSError:
            ended.set()
            raise
        return False

    provider.script("/a", lambda asked: Reply(length=-1, wire=until_gone))
    answer = fetcher.open(provider.url("/a"))
    found = answer.raw_socket()
    assert found is not None
    answer.close()
    assert ended.wait(20)


def test_shutdown_wakes_a_reader_that_waits() -> None:
    with ScriptedProvider() as provider:
        provider.hang("/silent", after_head=True)
        answer = Fetcher(policy=AddressPolicy()).open(provider.url("/silent"), read_timeout_s=120)
        read: list[bytes] = []

        def wait() -> None:
            with contextlib.suppress(AerialError):
                read.append(answer.read1())

        reader = threading.Thread(target=wait)
        reader.start()
        answer.shutdown()
        reader.join(20)
        assert not reader.is_alive()
        assert b"".join(read) == b""
        answer.close()
