"""The documentation is complete: every route, key, command, variable and setting is written down."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import epg_service.__main__ as epg_main
import stream_service.__main__ as stream_main
from epg_service import config as epg_config
from epg_service.domain import losses as epg_losses
from servicekit.config import SHARED_VARIABLES, Section, Shared, load
from stream_service import config as stream_config

ROOT = Path(__file__).resolve().parents[2]
API = (ROOT / "docs" / "api.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
CONFIG = (ROOT / "config.yaml").read_text()
SECTIONS = [("epg", epg_config.EpgSection), ("stream", stream_config.StreamSection)]
VIEW = re.compile(r"@views\.(get|put|post|delete|route)\(\s*\"([^\"]*)\"")
PREFIX = re.compile(r"url_prefix=\"([^\"]+)\"")


def routes() -> Iterator[str]:
    """`GET /api/v1/channels/{channel_id}` of every view in the source."""
    files = [*ROOT.glob("servicekit/web/*.py"), *ROOT.glob("*_service/api/*.py")]
    for file in files:
        text = file.read_text()
        of_file = PREFIX.findall(text) if text.count("APIBlueprint(") == 1 else []
        for block in re.split(r"\n(?=def )", text):
            # A function that is handed its blueprint adds to the only one of the file.
            prefix = "".join(PREFIX.findall(block)[:1] if "APIBlueprint(" in block else of_file)
            for method, rule in VIEW.findall(block):
                path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", prefix + rule)
                yield f"{'GET' if method == 'route' else method.upper()} {path}"


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from keys_of(field.annotation, f"{prefix}{name}.")


def test_there_are_routes_to_look_for() -> None:
    assert len(set(routes())) > 40


@pytest.mark.parametrize("route", sorted(set(routes())))
def test_every_route_is_in_the_api_page(route: str) -> None:
    assert re.search(re.escape(f"`{route}") + r"[`?]", API), f"{route} is not in docs/api.md"


@pytest.mark.parametrize(("service", "model"), SECTIONS, ids=["epg", "stream"])
def test_the_shipped_configuration_is_the_built_in_one(service: str, model: type[Section]) -> None:
    variables: tuple[Any, ...] = ()
    shipped = load(ROOT / "config.yaml", service=service, model=model, variables=variables, environ={})
    built_in = load(None, service=service, model=model, variables=variables, environ={})
    assert shipped.own == built_in.own
    assert shipped.shared == built_in.shared


@pytest.mark.parametrize(
    "path", [*keys_of(Shared), *(f"{name}.{key}" for name, model in SECTIONS for key in keys_of(model))]
)
def test_every_key_is_in_the_shipped_configuration(path: str) -> None:
    at: Any = yaml.safe_load(CONFIG)
    for part in path.split("."):
        assert part in at, f"{path} is not in config.yaml"
        at = at[part]


def test_every_key_of_the_shipped_configuration_has_a_comment() -> None:
    lines = CONFIG.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s+\w+: \S|\w+: \S", line):
            assert lines[number - 1].lstrip().startswith("#"), f"config.yaml line {number + 1} has no comment above it"


@pytest.mark.parametrize(
    "name", sorted({one.name for one in (*SHARED_VARIABLES, *epg_config.VARIABLES, *stream_config.VARIABLES)})
)
def test_every_environment_variable_stands_at_its_key(name: str) -> None:
    assert name in CONFIG


@pytest.mark.parametrize(
    ("title", "commands"), [("epg_service", epg_main.COMMANDS), ("stream_service", stream_main.COMMANDS)]
)
def test_every_command_is_in_the_commands_page(title: str, commands: tuple[str, ...]) -> None:
    section = COMMANDS.split(f"## {title}")[1].split("\n## ")[0]
    for command in commands:
        assert f"| `{command}" in section, f"{title} {command} is not in docs/commands.md"


@pytest.mark.parametrize("kind", [*epg_losses.KINDS, *epg_losses.NOTES])
def test_every_kind_of_loss_is_explained(kind: str) -> None:
    assert f"| `{kind}` |" in API


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
