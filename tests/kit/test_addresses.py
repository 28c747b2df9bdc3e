"""Which addresses may be connected to: every literal trick, on whose word, and the operator's exceptions."""

import ipaddress

import pytest

from servicekit.addresses import AddressPolicy, Asker, plain, public
from servicekit.errors import Refused

TYPED, CONTENT, HOME_CONTENT = Asker(typed=True), Asker(typed=False), Asker(typed=False, private_ok=True)
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254",
    "::ffff:0.0.0.0", "::ffff:224.0.0.1",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.5", "100.64.0.1", "192.0.2.1", "198.18.0.1",
    "::1", "fc00::1", "fd12::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:192.168.1.1",
    "64:ff9b::7f00:1", "64:ff9b::c0a8:101", "64:ff9b:1::7f00:1", "2002:7f00:1::", "::127.0.0.1", "::ffff:0:7f00:1",
    "2001::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize("asker", [TYPED, CONTENT, HOME_CONTENT], ids=["typed", "content", "content of home"])
def test_nobody_may_name_metadata_multicast_or_nowhere(text: str, asker: Asker) -> None:
    with pytest.raises(Refused, match=r"never fetched \(fetch\.allow overrides\)"):
        AddressPolicy().judge(text, asker)


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_is_for_typed_words_and_content_that_came_from_home(text: str) -> None:
    policy = AddressPolicy()
    assert policy.judge(text, TYPED) == plain(ipaddress.ip_address(text))
    policy.judge(text, HOME_CONTENT)
    with pytest.raises(Refused, match=r"private, and it was named by content"):
        policy.judge(text, CONTENT)
    assert not public(plain(ipaddress.ip_address(text)))


@pytest.mark.parametrize("text", PUBLIC)
@pytest.mark.parametrize("asker", [TYPED, CONTENT, HOME_CONTENT], ids=["typed", "content", "content of home"])
def test_a_public_address_is_for_everybody(text: str, asker: Asker) -> None:
    assert public(AddressPolicy().judge(text, asker))


def test_allow_and_deny_are_the_operators_and_deny_wins() -> None:
    net = ipaddress.ip_network
    allowing = AddressPolicy(allow=(net("169.254.7.0/24"), net("192.168.0.0/16")))
    allowing.judge("169.254.7.7", CONTENT)
    allowing.judge("::ffff:192.168.3.4", CONTENT)
    with pytest.raises(Refused):
        allowing.judge("169.254.8.8", TYPED)
    both = AddressPolicy(allow=(net("10.0.0.0/8"),), deny=(net("10.1.0.0/16"), net("8.8.0.0/16")))
    both.judge("10.2.0.1", CONTENT)
    for text in ("10.1.0.1", "8.8.8.8", "::ffff:10.1.0.1"):
        with pytest.raises(Refused, match=r"fetch\.deny"):
            both.judge(text, TYPED)
