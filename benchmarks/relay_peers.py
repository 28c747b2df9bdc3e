"""The relay beside others that can be had here: nginx, Icecast, VLC, a ring with a generator for each viewer; and TLS.

    python -m benchmarks.relay_peers [--clients 50] [--mbps 8] [--window 8]

Each carries the same stream to the same number of viewers, one after another, the C floor first and last. What is not
installed is left out (Debian: nginx-light icecast2 vlc-bin ffmpeg openssl). nginx has no fan-out: it opens a connection
to the provider for every viewer. With our relay behind it, its share and ours are told apart.
"""

import argparse
import getpass
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.relaykit import (
    ROOT,
    Clients,
    Side,
    cpu_per_gb,
    floor_command,
    free_port,
    our_relay,
    provider,
    shown,
    started,
)

WARM_UP_S = 14.0
_SITE = ROOT / "deploy" / "nginx" / "aerial.conf"
_GENERATOR = """
import collections, socket, sys, time
from gevent import monkey; monkey.patch_all()
import gevent, gevent.event
from gevent.pywsgi import WSGIServer
ring, news = collections.deque(maxlen=400), gevent.event.Event()
count = 0
def read():
    global count
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as upstream:
        upstream.sendall(b"GET /0 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        while piece := upstream.recv(32768):
            ring.append(piece); count += 1
            news.set(); news.clear()
def app(environ, start):
    start("200 OK", [("Content-Type", "video/mp2t")])
    at = count
    while True:
        if at == count:
            news.wait(1)
        at = max(at, count - len(ring))
        for piece in list(ring)[len(ring) - (count - at):]:
            yield piece
            at += 1
gevent.spawn(read)
WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
"""
"""What the Python relays of the field do at their best: one upstream, a ring of pieces, a generator for each viewer."""

Peer = Callable[[ExitStack, Path, int], Sequence[Side] | None]
"""Starts a peer; its processes, the one that viewers ask first; None when it is not installed."""


def floor(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    port = free_port()
    name, command = floor_command(scratch, port, upstream)
    return [Side(name, port, "/0", stack.enter_context(started(command, port)))]


def ours(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    return [stack.enter_context(our_relay(scratch, upstream))]


def generators(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    port = free_port()
    command = [sys.executable, "-c", _GENERATOR, str(port), str(upstream)]
    return [Side("generators", port, "/", stack.enter_context(started(command, port)))]


def vlc(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    """VLC refuses to run as root, so it is somebody else then. It wants real pictures, so ffmpeg makes them."""
    if shutil.which("cvlc") is None or shutil.which("ffmpeg") is None:
        return None
    port, source, film = free_port(), free_port(), scratch / "film.ts"
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=8", "-c:v", "libx264"]
    rate = [
        "-preset",
        "ultrafast",
        "-b:v",
        "8M",
        "-minrate",
        "8M",
        "-maxrate",
        "8M",
        "-bufsize",
        "1M",
        "-nal-hrd",
        "cbr",
    ]
    subprocess.run(
        ["ffmpeg", "-v", "error", *pictures, *rate, "-muxrate", "8.4M", "-f", "mpegts", "-y", str(film)], check=True
    )
    loop = ["-re", "-stream_loop", "-1", "-i", str(film), "-c", "copy", "-muxrate", "8.4M", "-f", "mpegts"]
    to = f"udp://127.0.0.1:{source}"
    sender = subprocess.Popen(["ffmpeg", "-v", "error", *loop, f"{to}?pkt_size=1316"], stdin=subprocess.DEVNULL)
    stack.callback(sender.wait)
    stack.callback(sender.kill)
    out = f"#std{{access=http,mux=ts,dst=127.0.0.1:{port}/0}}"
    command = ["cvlc", "-I", "dummy", "--no-audio", f"udp://@127.0.0.1:{source}", "--sout", out]
    if os.getuid() == 0:
        command = ["setpriv", "--reuid=nobody", "--clear-groups", "env", "HOME=/tmp", *command]
    quiet = stack.enter_context((scratch / "vlc.log").open("wb"))
    return [Side("VLC", port, "/0", stack.enter_context(started(command, port, said=quiet.fileno())))]


def icecast(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    program = shutil.which("icecast2")
    if program is None:
        return None
    port = free_port()
    config = scratch / "icecast.xml"
    user = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>" if getpass.getuser() == "root" else ""
    config.write_text(
        f"""<icecast><limits><clients>2000</clients><sources>2</sources><queue-size>16777216</queue-size>
<burst-size>65536</burst-size></limits><authentication><source-password>x</source-password>
<admin-user>a</admin-user><admin-password>x</admin-password></authentication><hostname>localhost</hostname>
<listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<relay><server>127.0.0.1</server><port>{upstream}</port><mount>/0</mount><local-mount>/0</local-mount>
<on-demand>0</on-demand></relay>
<paths><logdir>{scratch}</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot>
</paths><logging><loglevel>1</loglevel></logging><security>{user}</security></icecast>"""
    )
    scratch.chmod(0o777)
    side = Side("Icecast", port, "/0", stack.enter_context(started([program, "-c", str(config)], port)))
    time.sleep(3.0)
    return [side]


def nginx_alone(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    """nginx as a proxy, with large buffers, without a relay behind it."""
    site = f"""server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass http://127.0.0.1:{upstream};
        proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 4 64k; proxy_busy_buffers_size 64k; }} }}"""
    side = _nginx(stack, scratch, site)
    return None if side is None else [Side("nginx, no fan-out", side.port, "/0", side.process)]


def behind_nginx(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    return _through_our_site(stack, scratch, upstream, tls=False)


def behind_tls(stack: ExitStack, scratch: Path, upstream: int) -> Sequence[Side] | None:
    return _through_our_site(stack, scratch, upstream, tls=True)


def _through_our_site(stack: ExitStack, scratch: Path, upstream: int, *, tls: bool) -> Sequence[Side] | None:
    """Our relay behind the site that is shipped (`deploy/nginx/aerial.conf`), with its words about TLS in force."""
    relay = stack.enter_context(our_relay(scratch, upstream))
    site = _SITE.read_text().replace("127.0.0.1:8081", f"127.0.0.1:{relay.port}")
    site = re.sub(r"    listen \[::\].*\n", "", site)
    site = site.replace("listen 80;", "listen 127.0.0.1:PORT ssl;" if tls else "listen 127.0.0.1:PORT;")
    if tls:
        key, certificate = scratch / "key.pem", scratch / "certificate.pem"
        subprocess.run(
            [*("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
             *("-keyout", str(key), "-out", str(certificate))], check=True, capture_output=True,
        )  # fmt: skip
        site = site.replace(
            "    access_log off;",
            f"    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    access_log off;",
        )
    front = _nginx(stack, scratch, site)
    if front is None:
        return None
    name = "relay behind nginx, TLS" if tls else "relay behind nginx"
    return [Side(name, front.port, "/stream/0.ts", front.process), relay]


def _nginx(stack: ExitStack, scratch: Path, site: str) -> Side | None:
    program = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
    if program is None:
        return None
    port = free_port()
    config = scratch / "nginx.conf"
    places = " ".join(f"{kind}_temp_path {scratch};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"daemon off; pid {scratch}/nginx.pid; error_log {scratch}/nginx.log; worker_processes 1;\n"
        f"{'user root;' if os.getuid() == 0 else ''} worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}\n"
        f"http {{ {places} access_log off;\n{site.replace('PORT', str(port))} }}\n"
    )
    return Side("nginx", port, "/", stack.enter_context(started([program, "-c", str(config)], port)))


PEERS: Sequence[tuple[str, Peer]] = (
    ("C fan-out", floor),
    ("our relay", ours),
    ("generator for each viewer (gevent)", generators),
    ("nginx proxy, no fan-out", nginx_alone),
    ("Icecast", icecast),
    ("VLC (one stream, real pictures)", vlc),
    ("our relay behind our nginx site", behind_nginx),
    ("our relay behind our nginx site, TLS", behind_tls),
    ("C fan-out again", floor),
)


@contextmanager
def crowd_of(stack: ExitStack, side: Side, count: int, *, tls: bool) -> Iterator[Clients]:
    crowd = Clients(side.port, side.paths(), count, tls=tls)
    try:
        yield crowd
    finally:
        crowd.close()


def measured(start: Peer, name: str, clients: int, mbps: float, window_s: float) -> dict[str, object] | None:
    """CPU seconds per GB of all that the peer consists of; of each part where there are two."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(provider(mbps))
        sides = start(stack, scratch, upstream)
        if sides is None:
            return None
        crowd = stack.enter_context(crowd_of(stack, sides[0], clients, tls=name.endswith("TLS")))
        time.sleep(WARM_UP_S)
        crowd.longest_gap_s = 0.0
        parts = [cpu for cpu, _ in cpu_per_gb(sides, [crowd] * len(sides), window_s)]
        got = sum(crowd.got)
        time.sleep(1.0)
        delivered = (sum(crowd.got) - got) / (clients * mbps * 125_000)
        return {
            "cpu_s_per_gb": round(sum(parts), 3),
            "parts": [round(one, 3) for one in parts] if len(parts) > 1 else [],
            "delivered_percent": round(delivered * 100),
            "viewers_left": crowd.left,
            "longest_gap_ms": round(crowd.longest_gap_s * 1000),
        }


def main() -> None:
    """Measure each in turn and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--mbps", type=float, default=8.0)
    parser.add_argument("--window", type=float, default=8.0, metavar="SECONDS")
    parser.add_argument("--only", default="", help="only peers whose name holds this")
    given = parser.parse_args()
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads /proc and needs Linux")
    found: dict[str, object] = {}
    for name, start in PEERS:
        if given.only.lower() in name.lower():
            try:
                found[name] = measured(start, name, given.clients, given.mbps, given.window) or "not installed"
            except SystemExit as error:
                found[name] = f"did not work: {error}"
            print(f"{name:40} {found[name]}", flush=True)
    shown({"clients": given.clients, **found})


if __name__ == "__main__":
    main()
