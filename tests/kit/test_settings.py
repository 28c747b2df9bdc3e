"""Runtime settings: typed, ranged, masked, all or none, shared by processes through one file."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.errors import Invalid, NotFound
from servicekit.settings import MASK, REGISTRY, Setting, Settings

LIMIT, ENABLED, TOKEN, LEVEL = (
    "bandwidth_global_limit_mbps",
    "bandwidth_throttling_enabled",
    "notification_telegram_bot_token",
    "notification_telegram_min_level",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


@pytest.fixture
def settings(file: Path) -> Settings:
    return Settings(file, lock=file.with_name("settings.lock"))


def test_without_a_file_everything_is_its_default(settings: Settings, file: Path) -> None:
    assert [one["value"] for one in settings.all()] == ["" if one.secret else one.default for one in REGISTRY]
    assert not file.exists()
    assert settings.faults == ()


def test_what_is_set_is_kept_by_a_file_of_its_owner_alone(settings: Settings, file: Path) -> None:
    settings.update({LIMIT: 25, ENABLED: True, TOKEN: "123:abc"})
    assert (settings.get(LIMIT), settings.get(ENABLED), settings.get(TOKEN)) == (25, True, "123:abc")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {LIMIT: 25, ENABLED: True, TOKEN: "123:abc"}
    settings.update({LIMIT: 0.0})
    assert LIMIT not in json.loads(file.read_text()), "only what differs from the defaults is written"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (LIMIT, "5", "a number is needed"),
        (LIMIT, True, "a number is needed"),
        (LIMIT, None, "a number is needed"),
        (LIMIT, -1, "from 0 to 100000 is allowed"),
        (LIMIT, 100_001, "from 0 to 100000 is allowed"),
        (LIMIT, float("nan"), "from 0 to 100000 is allowed"),
        (LIMIT, float("inf"), "from 0 to 100000 is allowed"),
        (ENABLED, 1, "a boolean is needed"),
        (ENABLED, "true", "a boolean is needed"),
        (LEVEL, "loud", "one of info, warning, error is needed"),
        ("notification_telegram_chat_id", "a\nb", "on one line"),
        ("notification_telegram_chat_id", "a\x85b", "on one line"),
        ("notification_telegram_chat_id", "x" * 5000, "at most 4096 characters"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(settings: Settings, key: str, value: object, told: str) -> None:
    with pytest.raises(Invalid, match=told) as caught:
        settings.update({key: value})
    assert caught.value.extra == {"key": key}
    assert len(caught.value.detail) < 300


def test_an_integer_without_bounds_still_has_to_be_finite(file: Path) -> None:
    with pytest.raises(Invalid, match="from any to any"):
        Setting("x", "number", 0, "c", "d").checked(float("inf"))


def test_all_are_set_or_none(settings: Settings) -> None:
    for bad in ({ENABLED: True, LIMIT: -1}, {ENABLED: True, "unknown": 1}):
        with pytest.raises((Invalid, NotFound)):
            settings.update(bad)
        assert settings.get(ENABLED) is False


def test_an_unknown_key_is_not_found(settings: Settings) -> None:
    for ask in (settings.get, settings.one, lambda key: settings.reset([key])):
        with pytest.raises(NotFound, match="there is no setting 'nonsense'"):
            ask("nonsense")


def test_a_secret_is_never_shown_and_its_mask_sent_back_changes_nothing(settings: Settings) -> None:
    settings.update({TOKEN: "S3CR3T-xyz"})
    assert "S3CR3T" not in repr(settings.all())
    assert settings.one(TOKEN)["value"] == MASK
    settings.update({TOKEN: MASK, ENABLED: True})
    assert settings.get(TOKEN) == "S3CR3T-xyz"
    with pytest.raises(Invalid) as caught:
        settings.update({TOKEN: ["S3CR3T-xyz"]})
    assert "S3CR3T" not in caught.value.detail


def test_a_reset_gives_defaults_back(settings: Settings) -> None:
    settings.update({LIMIT: 5, ENABLED: True})
    settings.reset([LIMIT])
    assert (settings.get(LIMIT), settings.get(ENABLED)) == (0.0, True)
    settings.reset()
    assert settings.get(ENABLED) is False


def test_every_key_is_in_one_category(settings: Settings) -> None:
    categories = settings.categories()
    assert sorted(key for keys in categories.values() for key in keys) == sorted(one.key for one in REGISTRY)
    assert {"notifications", "bandwidth"} <= set(categories)


WRITER = """
import pathlib, sys
from servicekit.settings import Settings
file = pathlib.Path(sys.argv[1])
settings = Settings(file, lock=file.with_name("settings.lock"))
for number in range(20):
    settings.update({sys.argv[2]: number + 1 if sys.argv[2].startswith("b") else str(number)})
"""


def test_what_another_process_wrote_is_read_at_once_and_writers_lose_nothing(settings: Settings, file: Path) -> None:
    assert settings.get(LIMIT) == 0.0
    keys = (LIMIT, "notification_telegram_chat_id", "notification_pushover_user_key")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), key]) for key in keys]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert [settings.get(key) for key in keys] == [20, "19", "19"]


@pytest.mark.parametrize("text", ["{not json", "[]", '"x"', "\x00"])
def test_a_faulty_file_means_defaults_and_says_so_and_is_kept_beside(settings: Settings, file: Path, text: str) -> None:
    file.write_text(text)
    assert settings.get(LIMIT) == 0.0
    assert "every setting has its default" in settings.faults[0]
    settings.update({LIMIT: 5})
    assert (settings.get(LIMIT), settings.faults) == (5, ())
    assert file.with_name("settings.json.faulty").read_text() == text


def test_one_faulty_entry_costs_only_itself(settings: Settings, file: Path) -> None:
    file.write_text(json.dumps({LIMIT: "much", ENABLED: True, "of_tomorrow": 1}))
    assert (settings.get(LIMIT), settings.get(ENABLED)) == (0.0, True)
    assert len(settings.faults) == 2


def test_a_file_that_is_a_directory_is_a_fault_and_no_crash(settings: Settings, file: Path) -> None:
    file.mkdir()
    assert settings.get(LIMIT) == 0.0
    assert "cannot be read" in settings.faults[0]
