"""Every fault of the configuration is told with file, line, key, what was found and what is allowed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from servicekit import config
from servicekit.config import Loaded, Variable, find_file, load
from servicekit.errors import Invalid


class OwnServer(config.Server):
    port: config.Port = 8080


class Retention(config.Section):
    days: Annotated[int, Field(ge=1, le=365)] = 7
    past_days: Annotated[int, Field(ge=0, le=365)] | None = None


class Scheduler(config.Section):
    import_time: config.TimeOfDay = "03:00"
    timezone: config.Zone = "UTC"


class Own(config.Section):
    server: OwnServer = OwnServer()
    retention: Retention = Retention()
    scheduler: Scheduler = Scheduler()
    database: config.Database = config.Database(path="epg.db")
    ratio: float = 1.5


VARIABLES = (
    Variable("EPG_SERVER_HOST", "epg.server.host"),
    Variable("EPG_SERVER_PORT", "epg.server.port"),
    Variable("EPG_CORS_ENABLED", "epg.server.cors_enabled"),
    Variable("EPG_CORS_ORIGINS", "epg.server.cors_origins"),
    Variable("EPG_RETENTION_DAYS", "epg.retention.days"),
    Variable("EPG_RETENTION_PAST_DAYS", "epg.retention.past_days"),
    Variable("EPG_IMPORT_TIME", "epg.scheduler.import_time"),
    Variable("EPG_LOG_LEVEL", "logging.level"),
    Variable("EPG_FETCH_TIMEOUT", "fetch.timeout_s"),
    Variable("AERIAL_TRUSTED", "trusted_proxies"),
)


def read(tmp_path: Path, text: str | bytes | None, environ: Mapping[str, str] | None = None) -> Loaded[Own]:
    file = None
    if text is not None:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file, service="epg", model=Own, variables=VARIABLES, environ=environ or {})


def test_without_a_file_the_defaults_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = read(tmp_path, None)
    assert loaded.own == Own()
    assert loaded.shared.fetch.max_bytes == 2 << 30
    assert (loaded.file, loaded.data_dir) == (None, tmp_path / "data")


@pytest.mark.parametrize("text", ["", "# nothing\n", "epg:\n", "epg:\n  server:\n  retention:\nlogging:\nstream:\n"])
def test_an_empty_file_and_empty_sections_are_the_defaults(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).own == Own()


def test_an_empty_section_can_be_filled_from_the_environment(tmp_path: Path) -> None:
    assert read(tmp_path, "epg:\n  server:\n", {"EPG_SERVER_PORT": "9"}).own.server.port == 9


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        "data_dir: here\npublic_url: https://tv.home.arpa/\ntrusted_proxies: [127.0.0.1, 10.0.0.0/8]\n"
        "fetch: {timeout_s: 5, allow: ['192.168.1.0/24']}\n"
        "epg:\n  server: {host: 127.0.0.1, port: 1234, debug: true, cors_origins: [http://a, http://b]}\n"
        "stream: {whatever: it is, not: ours}\n",
    )
    assert loaded.data_dir == tmp_path / "here"
    assert loaded.path("epg.db") == tmp_path / "here" / "epg.db"
    assert loaded.path("/else/epg.db") == Path("/else/epg.db")
    assert loaded.shared.public_url == "https://tv.home.arpa"
    assert loaded.shared.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")
    assert loaded.shared.fetch.timeout_s == 5
    assert loaded.own.server.cors_origins == ("http://a", "http://b")
    assert loaded.own.server.debug is True


FAULTS = {
    "wrong type": ("epg:\n  retention:\n    days: lots\n", "line 3: epg.retention.days: found 'lots'; ", "integer"),
    "out of range": (
        "epg:\n  retention:\n    days: 0\n",
        "line 3: epg.retention.days: found 0; ",
        "greater than or equal to 1",
    ),
    "port": ("epg:\n  server:\n    port: 70000\n", "line 3: epg.server.port: found 70000; ", "65535"),
    "unknown key": ("epg:\n  servr: {}\n", "line 2: epg.servr: unknown key", "see config.yaml"),
    "unknown top key": ("\nlogger: {}\n", "line 2: logger: unknown key", ""),
    "a choice": ("logging:\n  level: LOUD\n", "line 2: logging.level: found 'LOUD'; ", "'DEBUG', 'INFO'"),
    "a time": (
        "epg:\n  scheduler:\n    import_time: 25:00\n",
        "line 3: epg.scheduler.import_time: found '25:00'; ",
        "03:00",
    ),
    "a zone": (
        "epg: {scheduler: {timezone: Mars/Base}}\n",
        "line 1: epg.scheduler.timezone: found 'Mars/Base'; ",
        "tz database",
    ),
    "a hostile zone": (
        "epg: {scheduler: {timezone: ../../etc/passwd}}\n",
        "line 1: epg.scheduler.timezone: ",
        "tz database",
    ),
    "a network": (
        "trusted_proxies:\n  - 127.0.0.1\n  - nginx\n",
        "line 3: trusted_proxies.1: found 'nginx'; ",
        "10.0.0.0/8",
    ),
    "no list": ("trusted_proxies: 127.0.0.1\n", "line 1: trusted_proxies: found '127.0.0.1'; ", "tuple"),
    "an address": (
        "public_url: tv.home.arpa\n",
        "line 1: public_url: found 'tv.home.arpa'; ",
        "http://tv.home.arpa:8080",
    ),
    "an address's port": ("public_url: http://a:99999\n", "line 1: public_url: ", "http://tv.home.arpa:8080"),
    "an address in brackets": ("public_url: http://[::1\n", "line 1: public_url: ", "http://tv.home.arpa:8080"),
    "a section that is none": ("epg:\n  server: 5\n", "line 2: epg.server: found 5; ", "dictionary"),
    "a service that is none": ("epg: 5\n", "line 1: epg: found 5; ", "dictionary"),
    "null for a number": ("epg:\n  server:\n    port:\n", "line 3: epg.server.port: found None; ", "integer"),
    "no is text": ("epg:\n  server:\n    debug: no\n", "line 3: epg.server.debug: found 'no'; ", "boolean"),
    "octal is text": ("epg:\n  retention:\n    days: 010\n", "line 3: epg.retention.days: found '010'; ", "integer"),
    "sexagesimal is text": (
        "epg:\n  retention:\n    days: 13:30\n",
        "line 3: epg.retention.days: found '13:30'; ",
        "integer",
    ),
    "a date is text": (
        "epg: {retention: {days: 2026-11-21}}\n",
        "line 1: epg.retention.days: found '2026-11-21'; ",
        "integer",
    ),
    "a double key": ("epg:\n  server:\n    port: 1\n    port: 2\n", "line 4: the key port stands twice", ""),
    "a double section": ("epg: {}\nstream: {}\nepg: {}\n", "line 3: the key epg stands twice", ""),
    "a double in the other service": ("stream:\n  a: 1\n  a: 2\n", "line 3: the key a stands twice", ""),
    "a key that is a list": ("[1, 2]: x\n", "line 1: a key must be a plain word", ""),
    "a key that is a number": ("7: x\n", "7 is no key", "a word"),
    "an anchor": ("epg: &a\n  x: *a\n", "line 1: & and * (anchors) are not read", "quote"),
    "a list at the top": ("- a\n", "a mapping of keys is needed at the top, found tuple", ""),
    "a text at the top": ("hello\n", "a mapping of keys is needed at the top, found str", ""),
    "a tab": ("epg:\n\tserver: {}\n", "is no YAML", "line 2"),
    "a python tag": ("data_dir: !!python/object/apply:os.system [ls]\n", "is no YAML", "python"),
    "not UTF-8": (b"data_dir: \xff\n", "cannot be read", "utf-8"),
}


@pytest.mark.parametrize(("text", "told", "allowed"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str | bytes, told: str, allowed: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "config.yaml") in caught.value.detail
    assert told in caught.value.detail
    assert allowed in caught.value.detail


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        read(
            tmp_path, "logging: {level: X}\nfetch: {timeout_s: 0}\nepg:\n  server: {port: 0}\n  retention: {days: a}\n"
        )
    lines = caught.value.detail.splitlines()
    assert lines[0] == "the configuration cannot be used:"
    assert [re.search(r"line (\d+): ([a-z._]+):", line).groups() for line in lines[1:]] == [  # type: ignore[union-attr]
        ("1", "logging.level"),
        ("2", "fetch.timeout_s"),
        ("4", "epg.server.port"),
        ("5", "epg.retention.days"),
    ]


@pytest.mark.parametrize("key", ["database", "server", "retention", "scheduler"])
def test_a_file_of_the_single_service_is_refused_with_the_way_out(tmp_path: Path, key: str) -> None:
    with pytest.raises(Invalid, match=rf"line 1: {key}: .*move it under `epg:`"):
        read(tmp_path, f"{key}:\n  path: x\n")


def test_a_long_or_secret_value_is_not_repeated_whole(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, f"public_url: http://u:S3CR3T@h/\nlogging: {{level: {'x' * 500}}}\n")
    assert "S3CR3T" not in caught.value.detail
    assert "x" * 100 not in caught.value.detail


def test_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    assert read(tmp_path, "data_dir: 2026-11-21\n").shared.data_dir == "2026-11-21"
    assert read(tmp_path, "epg: {scheduler: {import_time: 13:30}}").own.scheduler.import_time == "13:30"
    assert read(tmp_path, "epg: {database: {path: no}}").own.database.path == "no"


# ---- environment -----------------------------------------------------------------------------------------------------


def test_the_environment_lies_over_the_file_and_is_typed(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        "logging: {level: INFO}\nepg: {server: {port: 1, host: a}}\n",
        {
            "EPG_SERVER_HOST": "127.0.0.1",
            "EPG_SERVER_PORT": "9090",
            "EPG_CORS_ENABLED": "Yes",
            "EPG_CORS_ORIGINS": "http://a, http://b,",
            "EPG_RETENTION_PAST_DAYS": "3",
            "EPG_IMPORT_TIME": "04:30",
            "EPG_LOG_LEVEL": "DEBUG",
            "EPG_FETCH_TIMEOUT": "2.5",
            "AERIAL_TRUSTED": "127.0.0.1,::1",
            "AERIAL_DATA_DIR": "/srv/tv",
            "AERIAL_PUBLIC_URL": "http://tv/",
        },
    )
    server = loaded.own.server
    assert (server.host, server.port, server.cors_enabled) == ("127.0.0.1", 9090, True)
    assert server.cors_origins == ("http://a", "http://b")
    assert (loaded.own.retention.past_days, loaded.own.scheduler.import_time) == (3, "04:30")
    assert (loaded.shared.logging.level, loaded.shared.fetch.timeout_s) == ("DEBUG", 2.5)
    assert loaded.shared.trusted_proxies == ("127.0.0.1", "::1")
    assert (loaded.data_dir, loaded.shared.public_url) == (Path("/srv/tv"), "http://tv")


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("EPG_SERVER_PORT", "eighty", "epg.server.port"),
        ("EPG_SERVER_PORT", "0", "epg.server.port"),
        ("EPG_SERVER_PORT", "80.5", "epg.server.port"),
        ("EPG_CORS_ENABLED", "maybe", "epg.server.cors_enabled"),
        ("EPG_RETENTION_PAST_DAYS", "-1", "epg.retention.past_days"),
        ("EPG_IMPORT_TIME", "3 am", "epg.scheduler.import_time"),
        ("EPG_LOG_LEVEL", "loud", "logging.level"),
        ("AERIAL_TRUSTED", "127.0.0.1,nginx", "trusted_proxies.1"),
        ("AERIAL_PUBLIC_URL", "nonsense", "public_url"),
    ],
)
@pytest.mark.parametrize("file", ["epg: {server: {port: 1}}\n", None], ids=["over a file", "alone"])
def test_a_fault_of_the_environment_names_its_variable(
    tmp_path: Path, name: str, value: str, key: str, file: str | None
) -> None:
    with pytest.raises(Invalid, match=rf"from {name}: {re.escape(key)}: found "):
        read(tmp_path, file, {name: value})


def test_a_variable_that_is_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    assert read(tmp_path, "epg: {server: {port: 5}}", {"EPG_SERVER_PORT": ""}).own.server.port == 5


# ---- which file ------------------------------------------------------------------------------------------------------


def test_the_file_is_the_argument_else_the_variable_else_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file(None, {}) is None
    for name in ("config.yaml", "named.yaml", "typed.yaml"):
        (tmp_path / name).write_text("")
    assert find_file(None, {}) == tmp_path / "config.yaml"
    assert find_file(None, {"AERIAL_CONFIG": "named.yaml"}) == tmp_path / "named.yaml"
    assert find_file("typed.yaml", {"AERIAL_CONFIG": "named.yaml"}) == tmp_path / "typed.yaml"


@pytest.mark.parametrize(
    ("argument", "environ", "who"),
    [("no.yaml", {}, "the command line"), (None, {"AERIAL_CONFIG": "no.yaml"}, "AERIAL_CONFIG")],
)
def test_a_file_that_is_named_and_missing_is_told(argument: str | None, environ: dict[str, str], who: str) -> None:
    with pytest.raises(Invalid, match=rf"no configuration file no\.yaml \(named by {who}\)"):
        find_file(argument, environ)
