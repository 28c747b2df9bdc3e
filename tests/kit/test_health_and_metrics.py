"""Signs of life, and figures shared by several web workers."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.health import HEARTBEAT_STALE_S, State, alive, beat
from servicekit.metrics import Metrics

WORKER = """
from servicekit.metrics import Metrics
metrics = Metrics("epg", figures=list)
for _ in range(3):
    metrics.request("GET", "/live", 200, 0.002)
print(metrics.render().decode())
"""


def test_a_keeper_lives_while_its_sign_is_fresh_and_its_process_there(tmp_path: Path) -> None:
    sign = tmp_path / "run" / "keeper.beat"
    assert not alive(sign)
    beat(sign)
    assert alive(sign)
    assert [path.name for path in sign.parent.iterdir()] == ["keeper.beat"]
    stale = sign.stat().st_mtime - HEARTBEAT_STALE_S - 1
    os.utime(sign, (stale, stale))
    assert not alive(sign)
    beat(sign)
    assert alive(sign)


@pytest.mark.parametrize("text", ["", "x", "\x00"])
def test_a_sign_that_is_none_is_no_life(tmp_path: Path, text: str) -> None:
    (tmp_path / "beat").write_text(text)
    assert not alive(tmp_path / "beat")


def test_a_sign_of_a_process_that_ended_is_no_life(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)
    (tmp_path / "beat").write_text(str(ended.pid))
    assert not alive(tmp_path / "beat")


def test_a_state_reads_as_the_answer_of_health() -> None:
    assert State(detail={"version": "1"}).as_dict() == {"status": "ok", "reasons": [], "version": "1"}
    assert State(reasons=["a"]).as_dict()["status"] == "degraded"
    assert State(usable=False).as_dict()["status"] == "error"


def test_one_worker_counts_for_itself_and_figures_are_asked_at_each_scrape() -> None:
    asked: list[float] = []

    def figures() -> list[tuple[str, str, str, dict[str, str], float]]:
        asked.append(1)
        return [
            ("gauge", "x_channels", "Channels.", {"source": 'a"b\nc'}, 5.0),
            ("gauge", "x_channels", "Channels.", {"source": "d"}, 6.0),
            ("counter", "x_bytes", "Bytes.", {}, 7.0),
        ]

    metrics = Metrics("x", figures=figures)
    for method in ("GET", "GET", "BREW"):
        metrics.request(method, "/a/<int:b>", 200, 0.004)
    text = metrics.render().decode()
    assert 'x_http_requests_total{method="GET",route="/a/<int:b>",status="200"} 2.0' in text
    assert 'x_http_requests_total{method="other",route="/a/<int:b>",status="200"} 1.0' in text
    assert 'x_http_request_seconds_bucket{le="0.005",route="/a/<int:b>"} 3.0' in text
    assert 'x_channels{source="a\\"b\\nc"} 5.0' in text
    assert "x_bytes_total 7.0" in text
    metrics.render()
    assert len(asked) == 2


def test_several_workers_share_their_counts_by_a_directory(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run(
            [sys.executable, "-c", WORKER], env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for _ in range(2)
    ]
    line = 'epg_http_requests_total{method="GET",route="/live",status="200"}'
    assert f"{line} 3.0" in texts[0]
    assert f"{line} 6.0" in texts[1]
    for file in tmp_path.glob("*.db"):  # no hole that a full disk could not fill: that would end the worker
        assert file.stat().st_blocks * 512 >= file.stat().st_size, file.name


def test_where_there_is_no_room_for_figures_requests_are_answered_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    metrics = Metrics("y", figures=list)
    metrics.request("GET", "/a", 200, 0.1)
    assert b"y_http_requests_total" not in metrics.render()
    assert list(tmp_path.iterdir()) == []
    assert "No space left" in caplog.text
