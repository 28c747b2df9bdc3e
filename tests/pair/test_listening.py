"""Where the services listen, as told to programs of this machine and to people."""

import re
import socket

import pytest

from pair.listening import Place, free_port, is_free
from pair.run import addresses


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("192.168.1.5", "http://192.168.1.5:8080"),
        ("tv.home.arpa", "http://tv.home.arpa:8080"),
    ],
)
def test_programs_of_this_machine_find_the_service(host: str, local: str) -> None:
    assert Place(host, 8080).local_address == local


def test_other_machines_are_told_this_machine_s_own_address_not_a_wildcard() -> None:
    told = Place("0.0.0.0", 8081).home_address
    assert re.fullmatch(r"http://\d+\.\d+\.\d+\.\d+:8081", told)
    assert "0.0.0.0" not in told


def test_a_service_that_listens_on_loopback_only_is_told_as_such() -> None:
    assert Place("127.0.0.1", 8081).home_address == "http://127.0.0.1:8081"


def test_a_public_address_stands_for_both_services() -> None:
    here = Place("0.0.0.0", 8080)
    told = dict(addresses(guide=here, streams=Place("0.0.0.0", 8081), public_url="https://tv.example.org"))
    assert set(told.values()) == {
        "https://tv.example.org/playlist.m3u",
        "https://tv.example.org/epg.xml",
        "https://tv.example.org/",
        "https://tv.example.org/guide/",
    }


def test_a_port_is_free_until_somebody_listens() -> None:
    place = Place("127.0.0.1", free_port("127.0.0.1"))
    assert is_free(place)
    with socket.socket() as listener:
        listener.bind((place.host, place.port))
        listener.listen()
        assert not is_free(place)
    assert is_free(place)
