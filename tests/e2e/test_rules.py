"""Rules through the real stream service: written over HTTP, tried by its keeper, seen in the playlist."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Answered, Service, ask, free_port
from tests.stream.sourcekit import playlist
from tests.waiting import until

pytestmark = pytest.mark.e2e
HOSTILE = r'channel_name matches "^(?:(?:a|aa|aaa)+)+[.!]$" SET group_title = "x"'


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    (tmp_path / "config.yaml").write_text(f"data_dir: data\nstream: {{server: {{host: 127.0.0.1, port: {port}}}}}\n")
    (tmp_path / "data" / "import").mkdir(parents=True)
    (tmp_path / "data" / "import" / "a.m3u").write_text(playlist(["BBC One HD", "Late XXX", "a" * 60 + "?"]))
    service = Service("stream_service", tmp_path, port)
    yield service
    service.end()


def sent(answer: Answered, status: int) -> Answered:
    assert answer.status == status, answer.text
    return answer


def test_rules_are_tried_by_the_keeper_and_change_the_playlist(streams: Service) -> None:
    streams.wait_until_ready()
    sent(streams.post("/api/v1/sources", {"name": "a", "type": "m3u", "url": "a.m3u"}), 201)
    sent(streams.post("/api/v1/sources/1/refresh"), 202)
    until(lambda: "BBC One HD" in streams.get("/playlist.m3u").text, limit_s=120, what="the first playlist")

    rule = {"name": "no HD", "expression": 'channel_name matches "^(.+) HD$" SET channel_name = "$1"'}
    tried = sent(streams.post("/api/v1/rules/test", {"expression": rule["expression"]}), 200).json
    assert (tried["tested"], tried["matched"]) == (3, 1)
    assert tried["sample"][0]["after"]["channel_name"] == "BBC One"
    hostile = sent(streams.post("/api/v1/rules/test", {"expression": HOSTILE}), 200).json
    assert hostile["too_slow"]
    sent(streams.post("/api/v1/rules/test", {"expression": "nonsense"}), 400)
    sent(streams.post("/api/v1/rules/test", {"id": 999}), 404)

    sent(streams.post("/api/v1/rules", rule), 201)
    sent(streams.post("/api/v1/rules", {"name": "hostile", "expression": HOSTILE}), 201)
    adult = next(f for f in streams.get("/api/v1/filters").json["items"] if f["shipped"] == "adult-off")
    attached = ask("PUT", streams.url("/api/v1/lineups/default/filters"), {"filters": [{"id": adult["id"]}]})
    sent(attached, 200)

    def changed() -> bool:
        text = streams.get("/playlist.m3u").text
        return "BBC One HD" not in text and "Late XXX" not in text and ",BBC One\n" in text

    until(changed, limit_s=120, what="the playlist to follow")

    def told_of() -> bool:  # the files are seen before the build's row says that it has ended
        builds = streams.get("/api/v1/lineups/default/builds").json["items"]
        return any("hostile" in warning for build in builds for warning in build["warnings"])

    until(told_of, limit_s=120, what="the build to name the rule")
    told = sent(streams.get("/api/v1/lineups/default/explain?channel=Late-XXX"), 200).json
    assert "takes it out" in told["because"]
    draft = sent(streams.post("/api/v1/lineups/default/preview", {"filters": []}), 200).json
    assert [one["name"] for one in draft["new"]] == ["Late XXX"]
