"""One YAML file for both services, environment variables over it, every fault told with its place.

A service describes its own section as a pydantic model and calls `load`; the shared keys stand here. Nothing but the
composition root of a service imports its configuration.
"""

import ipaddress
import os
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from servicekit.errors import Invalid
from servicekit.redact import redact

if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:  # libyaml where PyYAML was built with it: the shipped file, mostly comments, takes 40 ms without
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Section(BaseModel):
    """A mapping of the file: strict types, no unknown keys, not changed after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
        raise ValueError("a time of day such as 03:00, from 00:00 to 23:59, is needed")
    return text


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("a zone of the tz database such as Europe/Berlin or UTC is needed") from error
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("an address or network such as 192.168.1.5 or 10.0.0.0/8 is needed") from error
    return text


def _origin(text: str) -> str:
    wanted = "an address such as http://tv.home.arpa:8080 is needed, without user, query or fragment"
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(wanted) from error
    if text and (not named or re.search(r"[\s?#@\\\"'<>]", text)):
        raise ValueError(wanted)
    return text.rstrip("/")


TimeOfDay = Annotated[str, AfterValidator(_clock_time)]
Zone = Annotated[str, AfterValidator(_zone)]
NetworkText = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
Port = Annotated[int, Field(ge=1, le=65535)]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Logging(Section):
    level: Level = "INFO"
    format: Literal["text", "json"] = "text"


class Fetch(Section):
    allow: tuple[NetworkText, ...] = ()
    deny: tuple[NetworkText, ...] = ()
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    max_bytes: Annotated[int, Field(ge=1024)] = 2 << 30


class Server(Section):
    host: str = "0.0.0.0"  # noqa: S104 - a home server is asked from other machines; the address guard decides who may
    port: Port
    debug: bool = False
    cors_enabled: bool = False
    cors_origins: tuple[str, ...] = ()


class Database(Section):
    path: str


class Shared(Section):
    """The keys at the top of the file, for both services."""

    data_dir: str = "data"
    public_url: Origin = ""
    trusted_proxies: tuple[NetworkText, ...] = ()
    logging: Logging = Logging()
    fetch: Fetch = Fetch()


OwnSection = TypeVar("OwnSection", bound=Section)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable and the key it overrides (`epg.server.port`)."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Loaded(Generic[OwnSection]):
    """The configuration of one service, with where it came from."""

    file: Path | None
    shared: Shared
    own: OwnSection
    data_dir: Path
    ports: Mapping[str, int]
    """Where each service listens as far as the file or the environment says; what it says of another is not judged."""

    def path(self, text: str) -> Path:
        """A path of the configuration: as it stands when absolute, else inside the data directory."""
        return self.data_dir / Path(text).expanduser()


SHARED_VARIABLES = (
    Variable("AERIAL_DATA_DIR", "data_dir"),
    Variable("AERIAL_PUBLIC_URL", "public_url"),
)
SERVICES = ("epg", "stream")
SHOWN = 80
"""So many characters of a wrong value are repeated in its error."""


def find_file(argument: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the argument, else AERIAL_CONFIG, else `config.yaml` here, else none (built-in defaults)."""
    for named, source in ((argument, "the command line"), (environ.get("AERIAL_CONFIG"), "AERIAL_CONFIG")):
        if named:
            path = Path(named)
            if not path.is_file():
                raise Invalid(f"there is no configuration file {named} (named by {source})")
            return path.resolve()
    path = Path("config.yaml")
    return path.resolve() if path.is_file() else None


def load(
    file: Path | None,
    *,
    service: str,
    model: type[OwnSection],
    variables: Sequence[Variable],
    environ: Mapping[str, str] = os.environ,
) -> Loaded[OwnSection]:
    """The checked configuration of `service`; raises `Invalid` with every fault, each with its place.

    The other service's section is left to the other service. Relative paths in the file are relative to `data_dir`,
    `data_dir` to the file.
    """
    source = _Source(file)
    tree = source.tree()
    ports = _ports(tree, environ)
    own_tree = tree.pop(service, {})
    for other in SERVICES:
        tree.pop(other, None)
    types = {**_fields(Shared), service: model}
    both: dict[str, Any] = _without_empty_sections({**tree, service: own_tree}, types)
    overridden = _override(both, (*SHARED_VARIABLES, *variables), environ, types)
    own_tree = both.pop(service, {})
    faults: list[str] = []
    shared = _checked(Shared, both, (), source, overridden, faults)
    own = _checked(model, own_tree, (service,), source, overridden, faults)
    if faults or shared is None or own is None:
        raise Invalid("the configuration cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    base = file.parent if file else Path.cwd()
    data_dir = (base / Path(shared.data_dir).expanduser()).resolve()
    return Loaded(file=file, shared=shared, own=own, data_dir=data_dir, ports=ports)


def _ports(tree: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for service in SERVICES:
        at: Any = tree
        for part in (service, "server", "port"):
            at = at.get(part) if isinstance(at, dict) else None
        given = environ.get(f"{service.upper()}_SERVER_PORT", "")
        at = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else at
        if isinstance(at, int) and not isinstance(at, bool):
            found[service] = at
    return found


def _checked(
    model: type[OwnSection],
    tree: object,
    prefix: tuple[str, ...],
    source: "_Source",
    overridden: Mapping[str, str],
    faults: list[str],
) -> OwnSection | None:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        for fault in error.errors():
            path = (*prefix, *(str(part) for part in fault["loc"]))
            faults.append(_sentence(path, fault, source, overridden, model if not prefix else None))
    return None


def _sentence(
    path: tuple[str, ...], fault: Any, source: "_Source", overridden: Mapping[str, str], top: type[Section] | None
) -> str:
    key = ".".join(path) or "the file"
    steps = (".".join(path[:end]) for end in range(len(path), 0, -1))  # an item of a list stands under the list's key
    variable = next((overridden[step] for step in steps if step in overridden), None)
    place = f"from {variable}" if variable else source.place(path)
    if fault["type"] == "extra_forbidden":
        if top is not None and len(path) == 1 and path[0] in ("database", "server", "retention", "scheduler"):
            return f"{place}: {key}: a file of the single service: move it under `epg:`"
        return f"{place}: {key}: unknown key; remove it, or see config.yaml for the keys there are"
    if fault["type"] == "missing":
        return f"{place}: {key}: is needed and missing"
    found = redact(repr(fault["input"]))
    shown = found if len(found) <= SHOWN else f"{found[:SHOWN]}…"
    return f"{place}: {key}: found {shown}; {fault['msg'].removeprefix('Value error, ')}"


# ---- environment -----------------------------------------------------------------------------------------------------


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.annotation for name, field in model.model_fields.items()}


def _without_empty_sections(tree: dict[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without sections that hold nothing (every key commented out): they have their defaults."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        section = _model_of(types.get(key))
        if section is not None and value is None:
            continue
        nested = section is not None and isinstance(value, dict)
        kept[key] = _without_empty_sections(value, _fields(section)) if section and nested else value
    return kept


def _override(
    tree: dict[str, Any], variables: Sequence[Variable], environ: Mapping[str, str], types: Mapping[str, Any]
) -> dict[str, str]:
    """Puts the environment's values into the tree; returns key path -> variable for the error messages.

    A variable that is set to nothing counts as not set: compose files write `NAME: ${NAME:-}`.
    """
    overridden = {}
    for variable in variables:
        if not environ.get(variable.name, "").strip():
            continue
        *parents, last = variable.path.split(".")
        at: Any = tree
        wanted: Any = types
        for part in parents:
            if not isinstance(at, dict):
                break
            at = at.setdefault(part, {})
            wanted = _fields(found) if (found := _model_of(wanted.get(part))) else {}
        if isinstance(at, dict):
            at[last] = _typed(environ[variable.name], wanted.get(last))
            overridden[variable.path] = variable.name
    return overridden


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _typed(text: str, annotation: Any) -> object:
    """An environment's text as the YAML value it stands for; left as text when it fits no type, to be refused later."""
    kinds = _kinds(annotation)
    if bool in kinds and text.strip().lower() in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        return text.strip().lower() in ("true", "1", "yes", "on")
    if (int in kinds or float in kinds) and re.fullmatch(r"-?\d{1,18}", text.strip(), re.ASCII):
        return int(text)  # also where a float is wanted: pydantic takes it
    if float in kinds and re.fullmatch(r"-?\d{1,18}\.\d{1,18}", text.strip(), re.ASCII):
        return float(text)
    if tuple in kinds:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _kinds(annotation: Any) -> set[Any]:
    """The plain types inside an annotation: `Annotated[int, …] | None` holds int and NoneType."""
    origin = get_origin(annotation)
    if origin is None or origin is tuple:
        return {origin or annotation}
    inner = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
    return set().union(*(_kinds(one) for one in inner if not isinstance(one, str)))


# ---- YAML ------------------------------------------------------------------------------------------------------------


class _StrictLoader(_SafeLoader):
    """YAML without its surprises: `13:30`, `no` and `010` are text, and a key stands once."""


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|false|False", "tTfF"),
    ("int", r"0|-?[1-9][0-9]*", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
    ("null", r"~|null|", ("~", "n", "")),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _tuples(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[object, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


_StrictLoader.add_constructor("tag:yaml.org,2002:seq", _tuples)


class _Source:
    """The text of the file, and the line of each of its keys."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._root: yaml.Node | None = None

    def tree(self) -> dict[str, Any]:
        """The file as nested dicts; raises `Invalid` for what is no YAML mapping."""
        if self._file is None:
            return {}
        try:
            text = self._file.read_text("utf-8")
            _refuse_anchors(text, self._file)
            self._root = yaml.compose(text, Loader=_StrictLoader)
            _refuse_doubles(self._root, self._file)
            tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{self._file} cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise Invalid(f"{self._file} is no YAML: {error}") from error
        if tree is None:
            return {}
        if not isinstance(tree, dict):
            raise Invalid(f"{self._file}: a mapping of keys is needed at the top, found {type(tree).__name__}")
        if strange := next((key for key in tree if not isinstance(key, str)), None):
            raise Invalid(f"{self._file}: {strange!r} is no key; a word is needed")
        return tree

    def place(self, path: Sequence[str]) -> str:
        """`config.yaml line 12`, the nearest line that stands for the key path."""
        if self._file is None:
            return "built-in defaults"
        node, line = self._root, 1
        for part in path:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if str(key.value) == part), None)
            elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
                found = (node.value[int(part)],) * 2
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return f"{self._file} line {line}"


def _refuse_anchors(text: str, file: Path) -> None:
    for token in yaml.scan(text, Loader=_StrictLoader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            line = token.start_mark.line + 1
            raise Invalid(f"{file} line {line}: & and * (anchors) are not read here; quote the text")


def _refuse_doubles(node: yaml.Node | None, file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Invalid(f"{file} line {key.start_mark.line + 1}: a key must be a plain word")
            if key.value in seen:
                raise Invalid(f"{file} line {key.start_mark.line + 1}: the key {key.value} stands twice")
            seen.add(key.value)
            _refuse_doubles(value, file)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, file)
