"""Dockerfile and compose.yaml, read as text: what they name exists, and they say what the services need."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = {
    "guide": ("epg_service", 8080, "EPG_STREAM_URL", "http://streams:8081"),
    "streams": ("stream_service", 8081, "STREAM_EPG_URL", "http://guide:8080"),
}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(
        r"\\\n\s*", " ", "\n".join(x for x in (REPOSITORY / "Dockerfile").read_text().splitlines() if x[:1] != "#")
    )
    pairs = [line.split(" ", 1) for line in text.splitlines() if line]
    return [(word, rest) for word, rest in pairs]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    return loaded


def copied() -> list[str]:
    return [source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]]


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines, "everything else stays out: data, keys, .git"
    assert {path.removeprefix("./") for path in copied()} == let_through
    for path in copied():
        assert (REPOSITORY / path).exists(), path


def test_every_package_that_the_services_import_is_copied() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks"} <= set(copied())


def test_the_image_does_not_run_as_root() -> None:
    words = [word for word, _ in instructions()]
    assert dict(instructions())["USER"] == "aerial"
    assert words.index("USER") < words.index("CMD")
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in {"RUN", "COPY"})


def test_the_image_starts_our_supervisor_directly_and_asks_both_services() -> None:
    said = dict(instructions())
    assert json.loads(said["CMD"])[:4] == ["python", "-m", "pair", "run"]
    asked = said["HEALTHCHECK"]
    assert "http://127.0.0.1:8080/live" in asked
    assert "http://127.0.0.1:8081/live" in asked
    assert "pair.alive" in asked
    assert said["STOPSIGNAL"] == "SIGTERM"


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_runs_one_service_and_knows_the_other(name: str) -> None:
    package, port, variable, address = SERVICES[name]
    service = compose()["services"][name]
    assert service["command"] == ["python", "-m", package, "/etc/aerial/config.yaml"]
    assert service["environment"][variable] == address
    assert "AERIAL_INTERNAL_SECRET" in service["environment"]
    assert service["ports"] == [f"{port}:{port}"]
    assert service["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/live"
    assert "host.docker.internal:host-gateway" in service["extra_hosts"]
    assert "data:/data" in service["volumes"]


def test_the_data_of_the_containers_is_in_a_volume_that_is_declared() -> None:
    assert "data" in compose()["volumes"]
    assert not [path for path in copied() if fnmatch(path, "data*")]


def test_no_secret_is_written_into_the_compose_file() -> None:
    for service in compose()["services"].values():
        assert service["environment"]["AERIAL_INTERNAL_SECRET"].startswith("${")
