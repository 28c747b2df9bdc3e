"""Who is asking: peers, forwarding headers, chains of proxies, and the host names that are ours."""

import ipaddress
import socket

import pytest

from servicekit import callers
from servicekit.callers import caller, host_is_ours

LAN_PROXY = (ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("fd00:1::/64"))


@pytest.fixture(autouse=True)
def _on_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "on_link_networks", lambda: (ipaddress.ip_network("203.0.113.0/24"),))


@pytest.mark.parametrize(
    ("peer", "local", "loopback"),
    [
        ("127.0.0.1", True, True),
        ("::1", True, True),
        ("::ffff:127.0.0.1", True, True),
        ("192.168.1.5", True, False),
        ("10.9.9.9", True, False),
        ("172.31.0.1", True, False),
        ("172.32.0.1", False, False),
        ("fd12::9", True, False),
        ("fe80::1%eth0", True, False),
        ("203.0.113.9", True, False),
        ("8.8.8.8", False, False),
        ("::ffff:8.8.8.8", False, False),
        ("2606:4700::1111", False, False),
        ("100.64.0.1", False, False),
        ("", False, False),
        ("unix", False, False),
    ],
)
def test_a_peer_without_a_word_of_proxies_is_judged_by_its_address(peer: str, local: bool, loopback: bool) -> None:
    found = caller(peer, {}, ())
    assert (found.local, found.loopback, found.trusted_peer) == (local, loopback, False)


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "x-forwarded-for", "Forwarded", "X-Real-Ip", "X-Real-IP", "X-Forwarded-Host",
     "X-Forwarded-Proto", "CF-Connecting-IP", "True-Client-IP"],
)  # fmt: skip
def test_an_untrusted_peer_that_forwards_is_never_local(header: str) -> None:
    found = caller("127.0.0.1", {header: "192.168.1.5"}, ())
    assert (found.address, found.local, found.loopback, found.trusted_peer) == ("127.0.0.1", False, False, False)


@pytest.mark.parametrize(
    ("chain", "address", "local"),
    [
        ("192.168.1.5", "192.168.1.5", True),
        ("8.8.8.8", "8.8.8.8", False),
        ("192.168.1.5, 8.8.8.8", "8.8.8.8", False),
        ("8.8.8.8, 192.168.1.5", "192.168.1.5", True),
        ("127.0.0.1, 8.8.8.8, 10.0.0.7", "8.8.8.8", False),
        ("10.0.0.8, 10.0.0.7", "10.0.0.8", True),
        ("8.8.8.8:4711", "8.8.8.8", False),
        ("[2606:4700::1111]:443", "2606:4700::1111", False),
        ("[fd12::1]", "fd12::1", True),
        ("::ffff:8.8.8.8", "8.8.8.8", False),
        ("127.0.0.1, unknown", "unknown", False),
        ("127.0.0.1, <script>", "<script>", False),
        ("8.8.8.8,,", "8.8.8.8", False),
    ],
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "fd00:1::1", "::ffff:10.0.0.1"])
def test_a_trusted_proxy_is_believed_up_to_the_last_hop_that_is_none(
    peer: str, chain: str, address: str, local: bool
) -> None:
    found = caller(peer, {"X-Forwarded-For": chain}, LAN_PROXY)
    assert (found.address, found.local, found.trusted_peer) == (address, local, True)


def test_a_trusted_proxy_that_names_its_client_in_a_way_we_do_not_read_is_not_local() -> None:
    assert not caller("10.0.0.1", {"Forwarded": "for=8.8.8.8"}, LAN_PROXY).local
    assert not caller("10.0.0.1", {"X-Real-IP": "8.8.8.8"}, LAN_PROXY).local
    assert caller("10.0.0.1", {}, LAN_PROXY).local, "the proxy's own health check"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "192.168.1.5:80", "[::1]", "[::1]:8080", "[fd12::1]:80", "localhost",
     "LOCALHOST:8080", "tv", "tv:8080", "box.local", "box.lan.",
     "tv.home.arpa:80", "a.internal",
     "host.docker.internal",
     "tv.example.org", "TV.example.org:443", "my_box"],
)  # fmt: skip
def test_our_names_are_ours(host: str) -> None:
    assert host_is_ours(host, "https://tv.example.org/guide")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "local.evil", "evil.example#.local", "0x7f.1",
     "a@evil.example", "evil.example@127.0.0.1", "[::1", "::1]", "[::1]x", "[zz::1]", "", ":80", ".", "a b", 'tv"x',
     "tv\r\nX: y", "tv/..", "tv\\x", "tv:port", "tv:123456", "tv\x00", "tvä"],
)  # fmt: skip
def test_other_names_and_nonsense_are_not(host: str) -> None:
    assert not host_is_ours(host, "https://tv.example.org")
    assert not host_is_ours(host, "")


def test_this_machines_name_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box.Example.net")
    assert host_is_ours("box.example.net:80", "")
