"""Runtime settings: what a person changes while the services run, in one typed file that both share.

`DATA/settings.json` (0600, written by atomic rename) holds only what differs from the defaults; it lies over the
configuration file and the environment. Every reader looks at the file's time stamp and reads again when it changed.
"""

import json
import math
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servicekit.errors import Invalid, NotFound
from servicekit.files import atomic_write, waiting_lock

Value = str | int | float | bool
Kind = Literal["string", "integer", "number", "boolean"]
_KINDS: Mapping[Kind, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
MAX_TEXT = 4096
MASK = "********"


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of the registry. `hot`: applies at once; otherwise at the next start. `secret`: never shown."""

    key: str
    kind: Kind
    default: Value
    category: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: Sequence[str] = ()
    secret: bool = False
    hot: bool = True

    def checked(self, value: object) -> Value:
        """The value itself when it is of the right type and in range; raises `Invalid` otherwise."""
        wrong = not isinstance(value, _KINDS[self.kind]) or (self.kind != "boolean" and isinstance(value, bool))
        if wrong:
            found = f"a {type(value).__name__}" if self.secret else f"{str(value)[:80]!r}"
            raise Invalid(f"{self.key}: found {found}; a {self.kind} is needed", key=self.key)
        if isinstance(value, str):
            if len(value) > MAX_TEXT or any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
                raise Invalid(f"{self.key}: at most {MAX_TEXT} characters on one line", key=self.key)
            if self.choices and value not in self.choices:
                raise Invalid(
                    f"{self.key}: found {value[:80]!r}; one of {', '.join(self.choices)} is needed", key=self.key
                )
            return value
        assert isinstance(value, int | float)  # noqa: S101 - what is left of the kinds, told to the type checker
        low, high = self.minimum, self.maximum
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside or not math.isfinite(value):
            allowed = f"from {'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}"
            raise Invalid(f"{self.key}: found {value}; {allowed} is allowed", key=self.key)
        return value

    def described(self, value: Value) -> dict[str, object]:
        """The entry as the API shows it, a secret's value masked."""
        return {
            "key": self.key,
            "value": (MASK if value else "") if self.secret else value,
            "default": "" if self.secret else self.default,
            "type": self.kind,
            "category": self.category,
            "description": self.description,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "choices": list(self.choices),
            "secret": self.secret,
            "applies": "at once" if self.hot else "at the next start",
        }


def _min_level(sender: str) -> Setting:
    return Setting(
        f"notification_{sender}_min_level",
        "string",
        "warning",
        "notifications",
        "Send events of this level and above.",
        choices=("info", "warning", "error"),
    )


REGISTRY: tuple[Setting, ...] = (
    Setting("notification_telegram_enabled", "boolean", False, "notifications", "Send events to a Telegram chat."),
    _min_level("telegram"),
    Setting("notification_telegram_bot_token", "string", "", "notifications", "Token of the bot.", secret=True),
    Setting("notification_telegram_chat_id", "string", "", "notifications", "Chat that gets the messages."),
    Setting("notification_pushover_enabled", "boolean", False, "notifications", "Send events by Pushover."),
    _min_level("pushover"),
    Setting("notification_pushover_api_token", "string", "", "notifications", "Application token.", secret=True),
    Setting("notification_pushover_user_key", "string", "", "notifications", "User or group key.", secret=True),
    Setting("notification_webhook_enabled", "boolean", False, "notifications", "Send events to a webhook."),
    _min_level("webhook"),
    Setting("notification_webhook_url", "string", "", "notifications", "Address that gets each event.", secret=True),
    Setting("bandwidth_throttling_enabled", "boolean", False, "bandwidth", "Limit what all streams send together."),
    Setting(
        "bandwidth_global_limit_mbps", "number", 0.0, "bandwidth", "The limit in Mbit/s; 0 is none.",
        minimum=0, maximum=100_000,
    ),
    Setting(
        "bandwidth_client_limit_mbps", "number", 0.0, "bandwidth", "What one viewer gets, in Mbit/s; 0 is no limit.",
        minimum=0, maximum=100_000,
    ),
    Setting(
        "relay_log_days", "integer", 90, "relay", "Days for which is kept who watched what; 0: nothing is written.",
        minimum=0, maximum=3650,
    ),
    Setting(
        "access_lan_without_user", "boolean", True, "access",
        "Playlists, guides, streams and tuners are open to the home network without a user.",
    ),
    Setting(
        "logos_cache_enabled", "boolean", True, "logos",
        "Fetch the logos of channels and serve them from here; off: addresses stay the providers'.",
    ),
    Setting(
        "logos_initials_enabled", "boolean", True, "logos",
        "Draw a channel's initials where it has no logo (with logos_cache_enabled).",
    ),
    Setting(
        "log_level", "string", "", "logging", "Level of the logs; empty means the configuration file's.",
        choices=("", "DEBUG", "INFO", "WARNING", "ERROR"),
    ),
)  # fmt: skip


class Settings:
    """The file, read when it changed. Safe for several threads and processes."""

    def __init__(self, path: Path, *, lock: Path, registry: Sequence[Setting] = REGISTRY) -> None:
        self._path = path
        self._lock_path = lock
        self._registry = {setting.key: setting for setting in registry}
        self._stamp: tuple[int, int, int] | None = None
        self._values: dict[str, Value] = {}
        self._mutex = threading.Lock()
        self.faults: tuple[str, ...] = ()
        """What the file holds and cannot be used (unknown keys, wrong values); those keys have their defaults."""

    def get(self, key: str) -> Value:
        """The value in force; raises `NotFound` for a key that is not in the registry."""
        setting = self._setting(key)
        return self._current().get(key, setting.default)

    def all(self) -> list[dict[str, object]]:
        """Every entry of the registry with its value, secrets masked."""
        values = self._current()
        return [one.described(values.get(one.key, one.default)) for one in self._registry.values()]

    def one(self, key: str) -> dict[str, object]:
        """One entry as in `all`."""
        return self._setting(key).described(self.get(key))

    def categories(self) -> dict[str, list[str]]:
        """Category -> its keys."""
        found: dict[str, list[str]] = {}
        for setting in self._registry.values():
            found.setdefault(setting.category, []).append(setting.key)
        return found

    def update(self, changes: Mapping[str, object]) -> None:
        """Sets several keys, all or none. A masked secret sent back stays what it was. Raises `Invalid`, `NotFound`."""
        checked = {
            key: self._setting(key).checked(value)
            for key, value in changes.items()
            if not (self._setting(key).secret and value == MASK)
        }
        with waiting_lock(self._lock_path):
            self._write({**self._kept(), **checked})

    def reset(self, keys: Sequence[str] | None = None) -> None:
        """Gives the keys (all, when None) their defaults back."""
        named = set(self._registry) if keys is None else {self._setting(key).key for key in keys}
        with waiting_lock(self._lock_path):
            self._write({key: value for key, value in self._kept().items() if key not in named})

    def _setting(self, key: str) -> Setting:
        if key not in self._registry:
            raise NotFound(f"there is no setting {key!r}", key=key)
        return self._registry[key]

    def _current(self) -> dict[str, Value]:
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError:  # not there; what else keeps it from being read is told by the reading itself
            stamp = (0, 0, 0)
        with self._mutex:
            if stamp != self._stamp:
                self._values, self.faults = self._read()
                self._stamp = stamp
            return self._values

    def _kept(self) -> dict[str, Value]:
        """What stands in the file, before it is written anew; a file that holds faults is kept beside it."""
        values, faults = self._read()
        if faults:
            self._path.replace(self._path.with_name(f"{self._path.name}.faulty"))
        return values

    def _read(self) -> tuple[dict[str, Value], tuple[str, ...]]:
        try:
            raw = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}, ()
        except (OSError, ValueError) as error:
            return {}, (f"{self._path} cannot be read ({error}): every setting has its default",)
        if not isinstance(raw, dict):
            return {}, (f"{self._path} holds no object: every setting has its default",)
        values: dict[str, Value] = {}
        faults = []
        for key, value in raw.items():
            try:
                values[key] = self._setting(key).checked(value)
            except (Invalid, NotFound) as error:
                faults.append(f"{self._path}: {error.detail}")
        return values, tuple(faults)

    def _write(self, values: Mapping[str, Value]) -> None:
        differing = {k: v for k, v in values.items() if v != self._registry[k].default}
        atomic_write(self._path, json.dumps(differing, indent=2, sort_keys=True).encode() + b"\n", mode=0o600)


def settings_in(data_dir: Path) -> Settings:
    """The runtime settings that both services share."""
    return Settings(data_dir / "settings.json", lock=data_dir / "run" / "settings.lock")
