"""What a panel says of the account a source uses, made whole from whatever types it says it in. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

AccountStatus = Literal["active", "expired", "banned", "disabled", "refused", "limited", "unknown"]
"""`refused`: the login is wrong. `limited`: the panel asked to be left alone for a while."""

EXPIRY_WARNING_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it was last seen. Moments are epoch seconds; None: not told.

    `base_url`: the host that answered last (the typed one, or a backup). `timezone`: in which the panel says times of
    day, which addresses of its archive are made of. `wait_until`: no request before, asked for by the panel.
    """

    status: AccountStatus = "unknown"
    message: str = ""
    expires_at: int | None = None
    max_connections: int | None = None
    active: int | None = None
    trial: bool = False
    created_at: int | None = None
    formats: tuple[str, ...] = ()
    timezone: str = ""
    base_url: str = ""
    checked_at: int = 0
    wait_until: int = 0

    def as_dict(self) -> dict[str, object]:
        """For keeping as JSON; `account_of` reads it back."""
        return asdict(self)

    def expires_soon(self, now_s: int) -> bool:
        """Whether it ends within a week, or has ended."""
        return self.expires_at is not None and self.expires_at - now_s < EXPIRY_WARNING_S


_FIELDS = frozenset(field.name for field in fields(Account))


def account_of(kept: Mapping[str, Any]) -> Account:
    """What `as_dict` gave; what an older program did not keep is not known."""
    known = {name: value for name, value in kept.items() if name in _FIELDS}
    return Account(**(known | {"formats": tuple(known.get("formats", ()))}))
