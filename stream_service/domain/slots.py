"""Slots: how many connections an account may hold, as leases with an owner and an end.

Pure: the time is handed in. A lease that is not renewed ends by itself, so that an owner that died holds nothing for
ever; one that was given back twice, or is over, changes nothing.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Lease:
    """A connection of `account`, held by `owner` until `until_s`.

    `number` never repeats: the newest holder's is the highest.
    """

    account: str
    owner: str
    number: int
    until_s: float


class LeaseTable:
    """All leases there are."""

    def __init__(self, *, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._leases: dict[int, Lease] = {}
        self._last_number = 0

    def acquire(self, account: str, owner: str, *, limit: int | None, now_s: float) -> Lease | None:
        """A lease, or None when `limit` of them are held; without a limit always one."""
        self._forget_ended(now_s)
        if limit is not None and sum(lease.account == account for lease in self._leases.values()) >= limit:
            return None
        self._last_number += 1
        lease = Lease(account, owner, self._last_number, now_s + self._ttl_s)
        self._leases[lease.number] = lease
        return lease

    def renew(self, lease: Lease, now_s: float) -> bool:
        """Hold it for longer; False when it had ended (somebody else may have it now)."""
        self._forget_ended(now_s)
        if lease.number not in self._leases:
            return False
        self._leases[lease.number] = replace(lease, until_s=now_s + self._ttl_s)
        return True

    def release(self, lease: Lease) -> None:
        """Give it back."""
        self._leases.pop(lease.number, None)

    def held(self, now_s: float) -> list[Lease]:
        """Who holds what."""
        self._forget_ended(now_s)
        return list(self._leases.values())

    def _forget_ended(self, now_s: float) -> None:
        for number in [number for number, lease in self._leases.items() if lease.until_s <= now_s]:
            del self._leases[number]
