"""gunicorn's settings that are code (`gunicorn -c python:servicekit.gunicorn_hooks`), the same for both services.

This module is imported in the arbiter, before a gevent worker patches anything: it must import nothing that opens
sockets, and nothing of the applications. What differs between the services stands on gunicorn's command line.
"""

import gc
import json
import os
import signal
from typing import Any

from gunicorn import util

from servicekit.supervise import die_with_parent, say_ready

proc_name = os.environ.get("AERIAL_PROCESS_NAME", "aerial")
accesslog = None  # the application logs its requests itself, with ids and timing
errorlog = "-"
loglevel = "warning"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - a heartbeat file must not wait for a disk
forwarded_allow_ips = ""  # forwarded headers are judged by servicekit.web, on our own list of trusted proxies
limit_request_line = 8190
limit_request_field_size = 16380


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker: end with the arbiter, and at once.

    Until the worker has handlers of its own it wears the arbiter's, which only note a signal for a loop that this
    process does not run: a SIGTERM of the first moments would be lost.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(worker.ppid)


def post_worker_init(worker: Any) -> None:
    """In a worker whose application is loaded: tell the supervisor.

    What was loaded stays for good, so the cycle collector need not walk it again and again: each of its full rounds
    stopped one request in fifty, and every stream, for 50 ms.
    """
    gc.collect()
    gc.freeze()
    util.write_error = write_problem
    say_ready("web")


def write_problem(sock: Any, status: int, reason: str, message: str) -> None:
    """In gunicorn's place: answer a request that it cannot parse, which no application ever sees, in our own shape.

    Without a `request_id`: such a request never got one. What gunicorn logs of it stays as it is.
    """
    said = {"type": "about:blank", "title": reason, "status": status, "detail": message or reason}
    body = json.dumps(said).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


def child_exit(server: Any, worker: Any) -> None:
    """In the arbiter, when a worker has ended: its live gauges must not be counted on."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess  # the stream service runs one worker and has no such directory

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
