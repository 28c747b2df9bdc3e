"""The scripted provider keeps its word: other tests stand on it."""

import gzip
import http.client
import threading

import pytest

from tests.providerkit import ScriptedProvider


def ask(provider: ScriptedProvider, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    try:
        connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_served_body_comes_whole_and_the_request_is_noted() -> None:
    with ScriptedProvider() as provider:
        provider.serve("/a", b"x" * 70_000, content_type="text/plain", headers={"X-More": "1"})
        status, headers, body = ask(provider, "/a?q=1", User_Agent="t")
        assert (status, len(body), headers["X-More"]) == (200, 70_000, "1")
        method, path, seen = provider.requests[0]
        assert (method, path, seen["user-agent"]) == ("GET", "/a?q=1", "t")
        assert (provider.connections, provider.count("/a"), provider.count("/a?q=2")) == (1, 1, 0)


def test_an_unknown_path_is_404() -> None:
    with ScriptedProvider() as provider:
        assert ask(provider, "/none")[0] == 404


def test_a_known_etag_is_304_without_a_body() -> None:
    with ScriptedProvider() as provider:
        provider.serve("/a", "text", etag='"1"')
        assert ask(provider, "/a")[1]["ETag"] == '"1"'
        assert ask(provider, "/a", If_None_Match='"1"')[::2] == (304, b"")


@pytest.mark.parametrize("gzip_by", ["coding", "file"])
def test_gzip_is_a_coding_or_a_file(gzip_by: str) -> None:
    with ScriptedProvider() as provider:
        provider.serve("/a", "text", gzip_by=gzip_by)  # type: ignore[arg-type]
        _, headers, body = ask(provider, "/a")
        assert gzip.decompress(body) == b"text"
        assert ("Content-Encoding" in headers) == (gzip_by == "coding")


def test_a_cut_body_ends_early() -> None:
    with ScriptedProvider() as provider:
        provider.cut("/a", b"x" * 100, after=10)
        with pytest.raises(http.client.IncompleteRead):
            ask(provider, "/a")


def test_a_dripped_body_is_the_body_and_a_chunked_one_too() -> None:
    with ScriptedProvider() as provider:
        provider.drip("/d", b"0123456789", piece=3, pause_s=0.001)
        provider.serve("/c", b"c" * 2_500, chunked=True)
        assert ask(provider, "/d")[2] == b"0123456789"
        assert ask(provider, "/c")[2] == b"c" * 2_500


def test_it_fails_as_often_as_told() -> None:
    with ScriptedProvider() as provider:
        provider.fail_times("/a", 2, then="good")
        assert [ask(provider, "/a")[0] for _ in range(4)] == [503, 503, 200, 200]


def test_stopping_ends_hanging_answers_and_every_thread() -> None:
    before = threading.active_count()
    with ScriptedProvider() as provider:
        provider.hang("/h")
        provider.hang("/later", after_head=True)
        provider.drip("/endless", b"xx", piece=1, pause_s=0.01, repeat=True)
        connections = [http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10) for _ in range(3)]
        for connection, path in zip(connections, ("/h", "/later", "/endless"), strict=True):
            connection.request("GET", path)
        connections[2].getresponse().read(5)
    for connection in connections:
        connection.close()
    assert threading.active_count() == before
    assert provider.open_connections == 0
