"""Keys are made once, whoever comes first, are their owner's alone, and an emptied one opens nothing."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.errors import Invalid
from servicekit.keys import admin_token, internal_secret

MAKER = """
import pathlib, sys
from servicekit.keys import internal_secret
sys.stdin.readline()
print(internal_secret(pathlib.Path(sys.argv[1]), None))
"""


def test_many_processes_agree_on_one_key(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    told = {maker.communicate(timeout=60)[0].strip() for maker in makers}
    assert told == {(tmp_path / "internal.secret").read_text().strip()}
    assert len(told.pop()) >= 40
    assert [path.name for path in tmp_path.iterdir()] == ["internal.secret"]


def test_a_key_is_its_owners_alone_and_stays(tmp_path: Path) -> None:
    token = admin_token(tmp_path / "data")
    assert admin_token(tmp_path / "data") == token
    assert stat.S_IMODE((tmp_path / "data" / "admin.token").stat().st_mode) == 0o600
    assert internal_secret(tmp_path / "data", None) != token


def test_a_given_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert internal_secret(tmp_path, "given-by-the-environment") == "given-by-the-environment"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "\n", "short", "\xff" * 20])
def test_an_emptied_or_strange_key_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "admin.token").write_text(text, "latin-1")
    with pytest.raises(Invalid, match=r"admin\.token.*a new one is made"):
        admin_token(tmp_path)


def test_a_short_given_secret_is_refused_without_being_repeated(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="AERIAL_INTERNAL_SECRET") as caught:
        internal_secret(tmp_path, "tiny")
    assert "tiny" not in caught.value.detail
