"""Kinds of errors, drawn first; `servicekit.web` holds the one table that maps a kind to an HTTP status.

    AerialError
    ├── Invalid            what the caller sent is wrong
    ├── Unauthorized       no or wrong credentials
    ├── Forbidden          known, but not allowed
    ├── NotFound           no such thing
    ├── Conflict           a duplicate, or a state that forbids it
    ├── TooLarge           over a limit in bytes
    ├── UnsupportedType    a body of a type we do not read
    ├── Misdirected        a host name that is not ours
    ├── RateLimited        too often; `retry_after_s`
    ├── Unavailable        locked, not ready, stopping; `retry_after_s`
    ├── Refused            an outgoing address that the policy forbids
    ├── Unreachable        a provider that does not answer
    └── BadAnswer          a provider whose answer cannot be used

An error says what is wrong, where, and how to mend it; `extra` carries ids for programs to read.
"""


class AerialError(Exception):
    """The root of all errors that we raise on purpose."""

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class Invalid(AerialError):
    """What the caller sent is wrong."""


class Unauthorized(AerialError):
    """No credentials, or wrong ones."""


class Forbidden(AerialError):
    """Known, but not allowed."""


class NotFound(AerialError):
    """There is no such thing."""


class Conflict(AerialError):
    """A duplicate, or a state that forbids what was asked."""


class TooLarge(AerialError):
    """Over a limit in bytes."""


class UnsupportedType(AerialError):
    """A body of a media type that is not read here."""


class Misdirected(AerialError):
    """The request names a host that is not this one."""


class RateLimited(AerialError):
    """Asked too often; may be asked again after `retry_after_s` seconds."""

    def __init__(self, detail: str, *, retry_after_s: int = 60, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s


class Unavailable(AerialError):
    """Cannot be done now (locked, not ready, stopping); worth another try after `retry_after_s` seconds."""

    def __init__(self, detail: str, *, retry_after_s: int = 5, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s


class Refused(AerialError):
    """An outgoing address that the policy forbids."""


class Unreachable(AerialError):
    """A provider that does not answer: no name, no connection, no byte in time."""


class BadAnswer(AerialError):
    """A provider's answer that cannot be used: status, size, type or content. `status` when HTTP gave one."""

    def __init__(self, detail: str, *, status: int | None = None, retry_after_s: int | None = None, **extra: object):
        super().__init__(detail, **extra)
        self.status = status
        self.retry_after_s = retry_after_s
