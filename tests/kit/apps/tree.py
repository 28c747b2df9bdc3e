"""A supervisor of two children: `tree LOG GRACE_S WEB_BEHAVIOURS KEEPER_BEHAVIOURS`, behaviours joined by commas."""

import sys
from pathlib import Path

from servicekit.supervise import Child, supervise


def main(log: Path, grace_s: float, web: str, keeper: str) -> int:
    def write(word: str) -> None:
        with log.open("a") as stream:
            stream.write(f"supervisor 0 {word}\n")

    def child(name: str, behaviours: str, *, restart: bool) -> Child:
        command = [sys.executable, "-m", "tests.kit.apps.child", name, str(log), *behaviours.split(",")]
        return Child(name, command, restart=restart, hangup=name == "keeper")

    return supervise(
        [child("web", web, restart=False), child("keeper", keeper, restart=True)],
        grace_s=grace_s,
        on_ready=lambda: write("ready"),
        on_hangup=lambda: write("hangup"),
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]))
