"""The keys in the data directory: between the services, of the administrator, and for the digests of passwords."""

import contextlib
import os
from pathlib import Path

from servicekit.errors import Invalid

SECRET_BYTES = 32
SHORTEST = 16
"""A key with fewer characters than this opens no door: an emptied file must not let everybody in."""


def internal_secret(data_dir: Path, given: str | None) -> str:
    """The secret between the services: `given` (AERIAL_INTERNAL_SECRET), else `DATA/internal.secret`, made once."""
    if given:
        return _long_enough(given.strip(), "AERIAL_INTERNAL_SECRET")
    return _made_once(data_dir / "internal.secret")


def admin_token(data_dir: Path) -> str:
    """What calls from elsewhere than the home network show as `Authorization: Bearer`: `DATA/admin.token`."""
    return _made_once(data_dir / "admin.token")


def users_key(data_dir: Path) -> bytes:
    """What users' passwords are digested under: `DATA/users.key`. Without it no password fits any more."""
    return _made_once(data_dir / "users.key").encode()[:64]


def _made_once(path: Path) -> str:
    """The text of `path`; made when missing, whole from the first moment: link() lets one maker win."""
    if path.exists():
        return _read(path)
    import secrets  # OpenSSL comes with it, for what is done once in the life of an installation

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):  # another process made it first: its key is the key
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return _read(path)


def _read(path: Path) -> str:
    try:
        return _long_enough(path.read_text("ascii").strip(), str(path))
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} holds no key: remove the file and a new one is made") from error


def _long_enough(key: str, where: str) -> str:
    if len(key) < SHORTEST:
        raise Invalid(
            f"the key in {where} has {len(key)} characters, {SHORTEST} are needed: "
            "remove it and a new one is made, or put a longer one there"
        )
    return key
