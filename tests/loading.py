"""What a process of its own has loaded."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
WEB = {"flask", "flask_openapi3", "flask_cors", "flask_compress", "werkzeug", "jinja2", "prometheus_client", "gunicorn"}
HTTP = {"requests", "urllib3"}
CLOCK = {"apscheduler", "asyncio"}
_TOLD = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded(code: str, folder: Path) -> set[str]:
    """The modules that a process of its own has loaded after `code`, run in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_TOLD}"], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
