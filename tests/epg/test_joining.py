"""Which logical channel a provider's new channel belongs to, and the words that say why."""

import pytest

from epg_service.domain.joining import Joining, KnownChannel, free_name, join

KNOWN = {
    "bbc1.uk": KnownChannel(1, "bbc1.uk", "BBC One"),
    "17": KnownChannel(2, "17", "Seventeen"),
    "x@b": KnownChannel(3, "x@b", "X"),
    "straße": KnownChannel(4, "Straße", "Strasse"),
}


@pytest.mark.parametrize(
    ("xmltv_id", "display_name", "expected"),
    [
        ("new.uk", "New", Joining(None, "new.uk", "new: no channel had this id")),
        ("bbc1.uk", "BBC One", Joining(1, "bbc1.uk", "same id and name")),
        ("BBC1.UK", "UK: BBC Oné HD [backup]", Joining(1, "bbc1.uk", "same id and name")),
        (
            "bbc1.uk",
            "BBC Two",
            Joining(None, "bbc1.uk@B", "kept apart from 'bbc1.uk': the names differ: 'BBC Two', 'BBC One'"),
        ),
        ("bbc1.uk", "BBC One +1", Joining(None, "bbc1.uk@B", "kept apart")),
        ("17", "Seventeen", Joining(None, "17@B", "kept apart from '17': the id is only a number")),
        ("bbc1.uk", "", Joining(None, "bbc1.uk@B", "kept apart")),
    ],
    ids=["new", "same", "same but for case and quality", "other name", "an hour later", "number", "no name"],
)
def test_a_channel_joins_only_where_id_and_name_agree(xmltv_id: str, display_name: str, expected: Joining) -> None:
    found = join(xmltv_id, display_name, "B", KNOWN)
    assert (found.channel_id, found.name) == (expected.channel_id, expected.name)
    assert found.how.startswith(expected.how)


def test_a_channel_kept_apart_takes_a_name_that_is_free() -> None:
    known = {
        **KNOWN,
        "bbc1.uk@b": KnownChannel(5, "bbc1.uk@B", "?"),
        "bbc1.uk@b-2": KnownChannel(6, "bbc1.uk@B-2", "?"),
    }
    assert join("bbc1.uk", "Other", "B", known).name == "bbc1.uk@B-3"
    assert free_name("X@B", known) == "X@B-2"
    assert free_name("free", known) == "free"
