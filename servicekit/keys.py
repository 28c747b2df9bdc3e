"""The two keys in the data directory: what the services tell each other, and what an administrator shows."""

import os
import secrets
from pathlib import Path

SECRET_BYTES = 32


def internal_secret(data_dir: Path, given: str | None) -> str:
    """The secret between the services: `given` (AERIAL_INTERNAL_SECRET), else `DATA/internal.secret`, made once."""
    return given or _made_once(data_dir / "internal.secret")


def admin_token(data_dir: Path) -> str:
    """What calls from elsewhere than the home network show as `Authorization: Bearer`: `DATA/admin.token`."""
    return _made_once(data_dir / "admin.token")


def _made_once(path: Path) -> str:
    """The text of `path`; made when missing, whole from the first moment: link() lets one maker win."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_text("ascii").strip()
    finally:
        temporary.unlink()
    return path.read_text("ascii").strip()
