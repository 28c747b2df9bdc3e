"""The looped stream: what rises, where it begins, and that ffmpeg finds no seam in it."""

import json
import shutil
import subprocess
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from tests.programs import needs
from tvkit.mpegts_loop import PACKET_BYTES, TICKS_PER_S, LoopedStream

MEDIA = Path(__file__).resolve().parents[2] / "pair" / "media"
PICTURES = sorted(path.name for path in MEDIA.glob("*.ts"))
LAP_TICKS = 16 * TICKS_PER_S


def recording(name: str) -> LoopedStream:
    return LoopedStream((MEDIA / name).read_bytes())


def stretch(stream: LoopedStream, from_ticks: int, to_ticks: int) -> bytes:
    return b"".join(piece.data for piece in takewhile(lambda one: one.due_ticks < to_ticks, stream.pieces(from_ticks)))


def counters(data: bytes) -> dict[int, list[int]]:
    """The continuity counters of the packets with payload, by PID."""
    found: dict[int, list[int]] = {}
    for at in range(0, len(data), PACKET_BYTES):
        if data[at + 3] & 0x10:
            found.setdefault((data[at + 1] & 0x1F) << 8 | data[at + 2], []).append(data[at + 3] & 0x0F)
    return found


def test_the_bundled_pictures_are_small() -> None:
    assert len(PICTURES) == 3
    assert sum((MEDIA / name).stat().st_size for name in PICTURES) < 1_500_000


@pytest.mark.parametrize("name", PICTURES)
def test_a_lap_lasts_sixteen_seconds(name: str) -> None:
    assert recording(name).duration_ticks == LAP_TICKS


@pytest.mark.parametrize("name", PICTURES)
def test_the_first_lap_is_the_recording_itself(name: str) -> None:
    name_of_service = PACKET_BYTES  # the recording's first packet, which newcomers do without
    assert stretch(recording(name), 0, LAP_TICKS) == (MEDIA / name).read_bytes()[name_of_service:]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("from_s", [0, 5, 40], ids=["from the start", "from the middle", "from a later lap"])
def test_continuity_counters_go_on_over_the_seams(name: str, from_s: int) -> None:
    data = stretch(recording(name), from_s * TICKS_PER_S, (from_s + 35) * TICKS_PER_S)
    for pid, seen in counters(data).items():
        assert all((before + 1) % 16 == after for before, after in pairwise(seen)), f"PID {pid}"


def test_pieces_come_in_the_order_of_their_times() -> None:
    laps = takewhile(lambda one: one.due_ticks < 3 * LAP_TICKS, recording("one.ts").pieces(0))
    dues = [piece.due_ticks for piece in laps]
    assert dues == sorted(dues)
    assert max(after - before for before, after in pairwise(dues)) <= TICKS_PER_S // 5


@pytest.mark.parametrize("from_s", [0.0, 0.5, 15.99, 16.0, 100.3])
def test_joining_begins_with_the_tables_and_a_keyframe_at_most_a_second_old(from_s: float) -> None:
    ticks = int(from_s * TICKS_PER_S)
    first = next(recording("one.ts").pieces(ticks))
    assert ticks - TICKS_PER_S <= first.due_ticks <= ticks
    packets = [first.data[at : at + PACKET_BYTES] for at in range(0, len(first.data), PACKET_BYTES)]
    keyframe = next(n for n, packet in enumerate(packets) if packet[3] & 0x20 and packet[5] & 0x40)
    before = {(packet[1] & 0x1F) << 8 | packet[2] for packet in packets[:keyframe]}
    assert {0, 0x1000} <= before, "PAT and PMT stand before the keyframe"


def first_clock(data: bytes) -> int:
    """The 90 kHz part of the first PCR."""
    at = next(at for at in range(0, len(data), PACKET_BYTES) if data[at + 3] & 0x20 and data[at + 5] & 0x10)
    return int.from_bytes(data[at + 6 : at + 11], "big") >> 7


def test_clocks_wrap_at_33_bits() -> None:
    stream = recording("one.ts")
    began = first_clock(next(stream.pieces(0)).data)
    laps = (1 << 33) // LAP_TICKS + 1
    later = first_clock(next(stream.pieces(laps * LAP_TICKS)).data)
    assert later == (began + laps * LAP_TICKS) % (1 << 33) < LAP_TICKS * 2


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not whole transport packets"),
        (b"G" * 187, "not whole transport packets"),
        (b"x" * 188, "no sync byte"),
        (b"\x47\x1f\xff\x10" + b"\xff" * 184, "no keyframe"),
    ],
    ids=["empty", "half a packet", "no transport stream", "nothing but padding"],
)
def test_what_cannot_be_looped_is_refused_with_a_reason(data: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LoopedStream(data)


@pytest.mark.parametrize("name", PICTURES)
def test_ffmpeg_decodes_several_laps_without_a_complaint(name: str, tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    file = tmp_path / "laps.ts"
    file.write_bytes(stretch(recording(name), 7 * TICKS_PER_S, 50 * TICKS_PER_S))
    decoded = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", file, "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (decoded.returncode, decoded.stderr) == (0, "")
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=codec_type,dts", "-of", "json", file],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for kind, step in (("video", 3600), ("audio", 1920)):
        times = [packet["dts"] for packet in json.loads(shown.stdout)["packets"] if packet["codec_type"] == kind]
        assert {after - before for before, after in pairwise(times)} == {step}, kind


def test_the_script_that_makes_the_pictures_is_complete(tmp_path: Path) -> None:
    needs("ffmpeg")
    shutil.copy(MEDIA / "make.sh", tmp_path)
    subprocess.run(["bash", tmp_path / "make.sh"], check=True, capture_output=True, timeout=170)
    made = LoopedStream((tmp_path / "two.ts").read_bytes())
    assert made.duration_ticks == LAP_TICKS
