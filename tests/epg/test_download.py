"""Downloads against a scripted provider: politeness, stumbles, and going on where it broke off."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xxhash

from epg_service.providers.download import LONGEST_WAIT_S, Download, Validators, digest_text
from servicekit.addresses import AddressPolicy
from servicekit.errors import BadAnswer, Unreachable
from servicekit.fetch import Fetcher
from tests.providerkit import Asked, Reply, ScriptedProvider

BODY = bytes(range(256)) * 2_000


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


class Pauses:
    """A clock that only notes how long it was asked to sleep."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def __call__(self, seconds: float) -> None:
        self.slept_s += seconds


def download(path: Path, sleep: Callable[[float], None], progress: Callable[[int, int | None], None]) -> Download:
    fetcher = Fetcher(policy=AddressPolicy(), timeout_s=10)
    return Download(fetcher, path=path, max_bytes=1 << 20, progress=progress, sleep=sleep)


def fetched(provider: ScriptedProvider, path: Path, validators: Validators | None = None) -> Validators | None:
    found = download(path, Pauses(), lambda done, total: None).run(provider.url("/g"), validators or Validators())
    if found is None:
        return None
    digest, told = found
    assert path.read_bytes() == BODY
    assert digest == digest_text(xxhash.xxh3_128_hexdigest(BODY), len(BODY))
    return told


def breaks_off(
    provider: ScriptedProvider, *, after: int, etag: str, ranges: bool = True, changed_to: str | None = None
) -> None:
    """Each answer ends `after` bytes past where it began; ranges are honoured or not; the file may change meanwhile."""
    state = {"etag": etag}

    def answer(asked: Asked) -> Reply:
        headers = {"ETag": state["etag"]}
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range"))
        if wanted and ranges and asked.headers.get("If-Range") == state["etag"]:
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(BODY) - 1}/{len(BODY)}"
            rest = BODY[first:]
            return Reply(status=206, headers=headers, body=rest[:after], length=len(rest))
        if changed_to is not None and asked.headers.get("Range"):
            state["etag"] = changed_to
            return Reply(headers={"ETag": changed_to}, body=BODY)
        if asked.headers.get("Range"):
            return Reply(headers=headers, body=BODY)
        return Reply(headers=headers, body=BODY[:after], length=len(BODY))

    provider.script("/g", answer)


def test_a_download_that_breaks_off_again_and_again_goes_on_where_it_was(
    provider: ScriptedProvider, tmp_path: Path
) -> None:
    breaks_off(provider, after=150_000, etag='"1"')
    assert fetched(provider, tmp_path / "f") == Validators('"1"', None)
    ranges = [asked.headers.get("Range") for asked in provider.requests]
    assert ranges == ["", "bytes=150000-", "bytes=300000-", "bytes=450000-"]


def test_without_ranges_it_starts_anew(provider: ScriptedProvider, tmp_path: Path) -> None:
    breaks_off(provider, after=100_000, etag='"1"', ranges=False)
    assert fetched(provider, tmp_path / "f") == Validators('"1"', None)


def test_a_file_that_changed_meanwhile_is_taken_whole(provider: ScriptedProvider, tmp_path: Path) -> None:
    breaks_off(provider, after=100_000, etag='"1"', changed_to='"2"', ranges=False)
    assert fetched(provider, tmp_path / "f") == Validators('"2"', None)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_stumble_is_tried_again(provider: ScriptedProvider, tmp_path: Path, status: int) -> None:
    left = [2]

    def answer(asked: Asked) -> Reply:
        left[0] -= 1
        return Reply(body=BODY) if left[0] < 0 else Reply(status=status)

    provider.script("/g", answer)
    assert fetched(provider, tmp_path / "f") == Validators(None, None)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_plain_no_is_not_asked_again(provider: ScriptedProvider, tmp_path: Path, status: int) -> None:
    provider.script("/g", lambda asked: Reply(status=status))
    with pytest.raises(BadAnswer, match=str(status)):
        fetched(provider, tmp_path / "f")
    assert len(provider.requests) == 1


def test_a_short_pause_that_is_asked_for_is_kept(provider: ScriptedProvider, tmp_path: Path) -> None:
    replies = iter([Reply(status=503, headers={"Retry-After": "7"}), Reply(body=BODY)])
    provider.script("/g", lambda asked: next(replies))
    pauses = Pauses()
    download(tmp_path / "f", pauses, lambda done, total: None).run(provider.url("/g"), Validators())
    assert pauses.slept_s == pytest.approx(7)


def test_who_may_come_back_at_once_waits_a_little_all_the_same(provider: ScriptedProvider, tmp_path: Path) -> None:
    replies = iter([Reply(status=503, headers={"Retry-After": "0"}), Reply(body=BODY)])
    provider.script("/g", lambda asked: next(replies))
    pauses = Pauses()
    download(tmp_path / "f", pauses, lambda done, total: None).run(provider.url("/g"), Validators())
    assert pauses.slept_s >= 0.25


def test_a_long_pause_that_is_asked_for_ends_the_run_and_is_told(provider: ScriptedProvider, tmp_path: Path) -> None:
    long_s = int(LONGEST_WAIT_S) * 100
    provider.script("/g", lambda asked: Reply(status=429, headers={"Retry-After": str(long_s)}))
    with pytest.raises(BadAnswer) as told:
        fetched(provider, tmp_path / "f")
    assert told.value.retry_after_s == long_s
    assert len(provider.requests) == 1


def test_three_vain_tries_are_enough(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.script("/g", lambda asked: Reply(status=500))
    with pytest.raises(BadAnswer):
        fetched(provider, tmp_path / "f")
    assert len(provider.requests) == 3


def test_nothing_changed_is_said_by_304(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.serve("/g", BODY, etag='"1"')
    assert fetched(provider, tmp_path / "f", Validators('"1"', None)) is None


def test_a_206_nobody_asked_for_is_no_guide(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.script("/g", lambda asked: Reply(status=206, body=BODY[:100]))
    with pytest.raises(BadAnswer, match="206"):
        fetched(provider, tmp_path / "f")


def test_an_empty_answer_is_told(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.serve("/g", b"")
    with pytest.raises(BadAnswer, match="empty"):
        fetched(provider, tmp_path / "f")


def test_whoever_cancels_is_heard_between_two_tries(provider: ScriptedProvider, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def progress(done: int, total: int | None) -> None:
        raise Stop

    provider.script("/g", lambda asked: Reply(status=503))
    with pytest.raises(Stop):
        download(tmp_path / "f", Pauses(), progress).run(provider.url("/g"), Validators())


def test_nobody_there_is_told_after_three_tries(tmp_path: Path) -> None:
    pauses = Pauses()
    with pytest.raises(Unreachable):
        download(tmp_path / "f", pauses, lambda done, total: None).run("http://127.0.0.1:9/g", Validators())
    assert pauses.slept_s > 0
