"""What the demo does to the machine it runs on."""

from pathlib import Path

from pair.demo import sweep
from servicekit.files import run_lock


def test_the_folder_of_a_demo_that_was_killed_goes_and_that_of_one_that_runs_stays(tmp_path: Path) -> None:
    killed, running, strange = (tmp_path / name for name in ("aerial-demo-1", "aerial-demo-2", "aerial-demo-notes"))
    for folder in (killed, running, strange):
        folder.mkdir()
    (killed / "demo.lock").touch()
    with run_lock(running / "demo.lock"):
        sweep(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["aerial-demo-2", "aerial-demo-notes"]
