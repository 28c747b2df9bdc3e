"""Channel names, reduced to what tells channels apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvkit.names import normalised

SAME = [
    ("BBC One", "bbc one"),
    ("UK: BBC One HD", "bbc one"),
    ("UK: BBC Oné ᴴᴰ [backup]", "bbc one"),
    ("|FR| TF1 FHD", "tf1"),
    ("DE | Das Erste HD", "das erste"),
    ("US - CNN", "cnn"),
    ("(DE) ZDF 1080p HEVC", "zdf"),
    ("BBC One+1 HD", "bbc one +1"),
    ("BBC One +1", "bbc one +1"),
    ("Film4 (+1)", "film4 +1"),
    ("ITV plus 1", "itv +1"),
    ("CANAL+", "canal plus"),
    ("A&E HD", "a and e"),
    ("Channel  4", "channel 4"),
    ("Sky Sports F1 UHD 4K", "sky sports f1"),
    ("RTL: Plus", "rtl plus"),
    ("Новости 24 HD", "новости 24"),
    ("日本テレビ", "日本テレビ"),
    ("Straße", "strasse"),
    ("Gemini's TV", "geminis tv"),
    ("4K", "4k"),
    ("(TV)", "tv"),
    ("", ""),
    ("***", ""),
]


@pytest.mark.parametrize(("name", "expected"), SAME, ids=[repr(name) for name, _ in SAME])
def test_a_name_loses_what_providers_add(name: str, expected: str) -> None:
    assert normalised(name) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("BBC One", "BBC Two"), ("Film4", "Film4 +1"), ("M6", "M6 +1"), ("Sky 1", "Sky 2"), ("Canal", "Canal+")],
)
def test_different_channels_stay_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(max_size=40))
def test_any_text_has_a_name_in_one_line(name: str) -> None:
    result = normalised(name)
    assert result == " ".join(result.split())
