"""Connections to judged addresses: the name is resolved, every address judged, one that passed is connected to.

The check and the use are one step, so that no name can change between them. `JudgedAdapter` puts it under `requests`.
"""

import contextlib
import functools
import http.client
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from servicekit.addresses import AddressPolicy, Asker, public
from servicekit.errors import Refused, Unreachable

CONNECT_TIMEOUT_S = 5.0
RESOLVE_TIMEOUT_S = 5.0
MAX_ADDRESSES = 6
"""So many addresses of a name are tried, each for the connection's time limit."""

Connect = Callable[[str, int, float], socket.socket]
"""(host, port, seconds) -> a connected socket."""


class Peer:
    """Connects for one request, and remembers what kind of address it reached."""

    def __init__(self, policy: AddressPolicy, asker: Asker) -> None:
        self._policy = policy
        self._asker = asker
        self.private = False

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A socket to the first address of `host` that passes and answers."""
        refusal: Refused | None = None
        failure: OSError | None = None
        for family, address in resolve(host, port)[:MAX_ADDRESSES]:
            try:
                judged = self._policy.judge(str(address[0]), self._asker)
            except Refused as error:
                refusal = error
                continue
            try:
                reached = _dial(family, address, timeout_s)
            except OSError as error:
                failure = error
                continue
            self.private = not public(judged)
            return reached
        if failure is not None:
            raise failure
        raise refusal or Unreachable(f"{host} has no address")


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """All stream addresses of `host`; raises `Unreachable` when there is none or the resolver takes over 5 s."""
    found: queue.Queue[list[Any] | OSError] = queue.Queue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=RESOLVE_TIMEOUT_S)
    except queue.Empty:
        raise Unreachable(f"the name {host} was not resolved within {RESOLVE_TIMEOUT_S:g} s") from None
    if isinstance(answer, OSError):
        raise Unreachable(f"the name {host} cannot be resolved: {answer}") from answer
    return [(family, address) for family, _, _, _, address in answer]


def _dial(family: socket.AddressFamily, address: tuple[Any, ...], timeout_s: float) -> socket.socket:
    reached = socket.socket(family, socket.SOCK_STREAM)
    try:
        reached.settimeout(timeout_s)
        reached.connect(address)
        reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        reached.close()
        raise
    return reached


class JudgedAdapter(HTTPAdapter):
    """An adapter whose connections are made by `connect`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        super().__init__(max_retries=urllib3.Retry(0, read=False, redirect=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": functools.partial(_JudgedHTTPPool, connect=self._connect),
            "https": functools.partial(_JudgedHTTPSPool, connect=self._connect),
        }


class _Judged(HTTPConnection):
    """A connection made by `connect`, whose answer's head must be there, whole, within the time of one read."""

    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._judged_connect = connect

    def _new_conn(self) -> socket.socket:
        return _connected(self, self._judged_connect)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        # A server that sends its head byte by byte never runs into the time limit of a single read.
        bare, late = self.sock, threading.Event()
        limit_s = self.timeout if isinstance(self.timeout, int | float) else None
        if bare is None or limit_s is None:
            return super().getresponse()
        watch = threading.Timer(limit_s, _give_up, (bare, late))
        watch.daemon = True
        watch.start()
        failure: Exception | None = None
        try:
            answer = super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            failure = error
        finally:
            watch.cancel()
        if late.is_set():  # also when it seems whole: http.client takes the end of the connection for the head's end
            raise TimeoutError("the head of the answer did not come in the time allowed") from failure
        if failure is not None:
            raise failure
        return answer


def _give_up(bare: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # closed meanwhile: then nobody waits
        bare.shutdown(socket.SHUT_RDWR)


class _JudgedHTTPConnection(_Judged):
    """Over plain TCP."""


class _JudgedHTTPSConnection(_Judged, HTTPSConnection):
    """Over TLS."""


class _JudgedHTTPPool(HTTPConnectionPool):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_JudgedHTTPConnection, connect=connect)  # type: ignore[assignment]


class _JudgedHTTPSPool(HTTPSConnectionPool):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_JudgedHTTPSConnection, connect=connect)  # type: ignore[assignment]


def _connected(connection: HTTPConnection, connect: Connect) -> socket.socket:
    timeout_s = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT_TIMEOUT_S
    try:
        return connect(connection.host, connection.port, float(timeout_s))
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
