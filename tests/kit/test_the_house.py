"""The rules of the house that a machine can check: who imports whom, and how functions and errors are written."""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tvkit", "servicekit", "epg_service", "stream_service", "pair")
LONGEST_FUNCTION = 60
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def tracked() -> list[Path]:
    """The files that git knows; every file when this is no checkout."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every tracked text file, this one left out."""
    for path in tracked():
        data = path.read_bytes()
        if path != Path(__file__).resolve() and b"\0" not in data[:8_000]:
            yield str(path.relative_to(ROOT)), data.decode("utf-8", "replace")


# ---- who imports whom ------------------------------------------------------------------------------------------------

_CONTRACTS = configparser.ConfigParser()
_CONTRACTS.read(ROOT / ".importlinter", "utf-8")
CONTRACTS = [name.rpartition(":")[2] for name in _CONTRACTS.sections() if ":contract:" in name]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_imports_keep_the_contract(contract: str) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--contract", contract]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "160"},
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_that_must_be_pure_stands_in_the_contract() -> None:
    listed = set(_CONTRACTS["importlinter:contract:pure"]["source_modules"].split())
    wanted = {"tvkit", "epg_service.domain", "epg_service.xmltv", "stream_service.domain", "stream_service.outputs",
              "stream_service.rules", "stream_service.sources.m3u", "stream_service.relay.ring",
              "stream_service.relay.mpegts", "stream_service.sources.xtream"}  # fmt: skip
    there = {name for name in wanted if _is_module(ROOT / name.replace(".", "/"))}
    assert there <= listed


def _is_module(path: Path) -> bool:
    return (path / "__init__.py").exists() or path.with_suffix(".py").exists()


# ---- how it is written -----------------------------------------------------------------------------------------------


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@each_module
def test_a_function_fits_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    long = {f.name: lines for f in _functions(tree) if (lines := (f.end_lineno or 0) - f.lineno + 1) > LONGEST_FUNCTION}
    assert not long


@each_module
def test_no_except_swallows_everything(path: Path) -> None:
    bad = [handler.lineno for handler in ast.walk(ast.parse(path.read_text("utf-8")))
           if isinstance(handler, ast.ExceptHandler) and _is_blanket(handler.type) and not _tells(handler)]  # fmt: skip
    assert not bad, f"lines {bad}: a blanket except raises again or logs why"


def _is_blanket(caught: ast.expr | None) -> bool:
    named = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(one is None or (isinstance(one, ast.Name) and one.id in ("Exception", "BaseException")) for one in named)


def _tells(handler: ast.ExceptHandler) -> bool:
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    raises = any(isinstance(node, ast.Raise) for node in inside)
    logs = any(
        isinstance(node, ast.Attribute) and node.attr in ("exception", "error", "warning", "critical")
        for node in inside
    )
    return raises or logs or any(_keeps(node, handler.name) for node in inside)


def _keeps(node: ast.AST, name: str | None) -> bool:
    """`self._raised = error`: kept, to be raised where somebody waits (in another thread)."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name):
        return False
    return node.value.id == name and isinstance(node.targets[0], ast.Attribute)


@each_module
def test_no_suppression_of_everything(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"suppress\((?:[^)]*\b)?(?:Base)?Exception\b", text)


@each_module
def test_a_module_says_what_lives_in_it_and_is_named_after_a_noun(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "a docstring: what lives here"
    assert not re.search(r"helper|util|manager|misc|common$|_v2", path.stem)


@each_module
def test_classes_are_not_named_after_nothing(path: Path) -> None:
    classes = [node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)]
    assert not [name for name in classes if re.search(r"Manager|Helper|Utils?$|V2$|Base$|Impl$", name)]


def test_nothing_is_left_for_later_in_a_comment() -> None:
    left = [
        f"{name}:{number}"
        for name, text in texts()
        if name.endswith(
            (".py", ".sh", ".yaml", ".yml", ".toml", "Makefile", "Dockerfile", ".sql", ".conf", ".service")
        )
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(r"(?:#|--|//)\s*(?:TODO|FIXME|XXX|HACK)\b|raise NotImplementedError", line)
    ]
    assert left == []


def test_nothing_names_the_workplace() -> None:
    words = re.compile(
        r"(?<![\w.])/work/|(?<![\w./])shared/(?!corpus\b)(?:\w+\.md|reference|seeds|hooks|bench|clients)|\bPIP_INDEX|"
        r"\bindex-url\s*=?\s*http|\b(?:chatgpt|openai|anthropic|claude|copilot|llm)\b|\bco-authored-by\b",
        re.IGNORECASE,
    )
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if words.search(line)
    ]
    assert found == []
