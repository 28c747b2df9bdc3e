"""The level of the logs follows the configuration, and stays where that is faulty."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit import levels
from servicekit.errors import Invalid
from servicekit.levels import LevelFollower, ask_to_reload
from servicekit.settings import settings_in


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def test_a_faulty_configuration_leaves_the_level_that_was_read_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "LOOK_EVERY_S", 0.0)
    said: list[str] = ["DEBUG"]

    def configured() -> str:
        if not said:
            raise Invalid("logging.level: no level")
        return said.pop()

    follower = LevelFollower(
        settings=settings_in(tmp_path), marker=tmp_path / "reload", configured=configured, level="INFO"
    )
    for _ in range(2):
        ask_to_reload(tmp_path / "reload")
        follower.look()
        assert logging.getLogger().level == logging.DEBUG
