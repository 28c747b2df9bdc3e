"""Guides of panels at the guide service: told once, told again when the login changes, taken back with the source."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicekit.errors import Unreachable
from stream_service.guide.panels import GuideNotices, PanelGuides
from stream_service.store.guide_links import GuideLinks
from tests.stream.panelkit import PASSWORD, USER, FakePanel
from tests.stream.sourcekit import House


class GuideService:
    """Remembers what it was told; `away`: it does not answer."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self.away = False

    @contextlib.contextmanager
    def open(self, url: str, *, method: str = "GET", body: bytes | None = None, **more: object) -> Iterator[Any]:
        if self.away:
            raise Unreachable("nobody there")
        self.told.append((method, url.rpartition("/")[2], json.loads(body or b"{}")))
        yield type("Answer", (), {"chunks": lambda self: [b'{"provider_id": 7}']})()


class Linked:
    """A house, a panel, and the link of the two to a guide service."""

    def __init__(self, directory: Path, panel: FakePanel) -> None:
        self.house, self.panel, self.guide = House(directory), panel, GuideService()
        self.links = GuideLinks(self.house.connections, clock=self.house.clock)
        self.guides = PanelGuides(
            asking=self.guide,  # type: ignore[arg-type]
            epg_url="http://epg",
            secret="s",
            panels=self.house.access.panels,
            sources=self.house.sources,
            links=self.links,
            clock=self.house.clock,
            notifier=self.house.events,
        )
        self.notices = GuideNotices(
            links=self.links, sources=self.house.sources, runs=self.house.runs, clock=self.house.clock
        )

    def add(self, **more: object) -> None:
        values = {"type": "xtream", "username": USER, "password": PASSWORD, "name": "P"} | more
        self.house.add(self.panel.base, **values)  # type: ignore[arg-type]

    def refresh(self, reason: str = "manual") -> None:
        run = self.house.runs.enqueue(1, reason=reason)  # type: ignore[arg-type]
        self.house.runs.start(run.id)
        status = self.house.refresher.refresh(run, self.house.sources.get(1))
        self.guides.refreshed(run, self.house.sources.get(1), status)


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Linked]:
    with FakePanel() as panel:
        made = Linked(tmp_path, panel)
        yield made
        made.house.connections.close()


def test_a_panels_guide_is_told_once(it: Linked) -> None:
    it.add()
    it.guides.look()
    it.guides.look()
    ((method, page, body),) = it.guide.told
    assert (method, page, body["name"], body["enabled"]) == ("PUT", "linked", "P", True)
    assert body["xmltv_url"] == f"{it.panel.base}/xmltv.php?username=u%40home&password=S3CR3T%2Fxyz"
    link = it.links.of(1)
    assert link is not None
    assert (link.state, link.provider_id) == ("linked", 7)
    assert it.house.events.kinds == ["guide_linked"]


def test_a_new_login_and_a_source_that_is_switched_off_are_told(it: Linked) -> None:
    it.add()
    it.guides.look()
    it.house.sources.update(1, {"enabled": False})
    it.guides.look()
    assert [told[2]["enabled"] for told in it.guide.told] == [True, False]
    assert len({told[2]["key"] for told in it.guide.told}) == 1


@pytest.mark.parametrize("guide", [b"<!doctype html><title>no</title>", b"", None], ids=["a page", "nothing", "403"])
def test_a_panel_without_a_guide_is_asked_again_a_day_later(it: Linked, guide: bytes | None) -> None:
    it.add(**({} if guide is not None else {"password": "wrong"}))
    it.panel.guide = guide or b""
    it.guides.look()
    link = it.links.of(1)
    assert link is not None
    assert (it.guide.told, link.state, bool(link.detail)) == ([], "no_guide", True)
    assert "wrong" not in link.detail
    asked = it.panel.provider.count("/xmltv.php")
    it.guides.look()
    assert it.panel.provider.count("/xmltv.php") == asked
    it.house.clock.s += 86_401
    it.guides.look()
    assert it.panel.provider.count("/xmltv.php") == asked + 1


def test_a_guide_service_that_is_away_is_told_later(it: Linked) -> None:
    it.add()
    it.guide.away = True
    it.guides.look()
    it.guide.away = False
    it.guides.look()
    assert it.guide.told == []
    it.house.clock.s += 16
    it.guides.look()
    assert len(it.guide.told) == 1


@pytest.mark.parametrize("how", ["deleted", "not wanted"])
def test_the_login_leaves_the_guide_service_with_the_source(it: Linked, how: str) -> None:
    it.add()
    it.guides.look()
    if how == "deleted":
        it.house.sources.delete(1)
    else:
        it.house.sources.update(1, {"auto_epg": False})
    it.guides.look()
    assert it.guide.told[1][2]["deleted"] is True
    assert it.links.all() == []


def test_a_source_that_wants_no_guide_has_none(it: Linked) -> None:
    it.add(auto_epg=False)
    it.guides.look()
    assert (it.guide.told, it.links.all()) == ([], [])


def test_a_refresh_has_the_guide_imported_unless_the_guide_asked_for_it(it: Linked) -> None:
    it.add()
    it.guides.look()
    it.refresh()
    key = it.guide.told[0][2]["key"]
    assert it.guide.told[1:] == [("POST", "import", {"key": key, "grace_s": 300})]
    it.refresh("linked")
    assert len(it.guide.told) == 2


def test_an_imported_guide_has_its_source_refreshed_unless_that_was_just_done(it: Linked) -> None:
    it.add()
    it.guides.look()
    link = it.links.of(1)
    assert link is not None
    assert it.notices.imported(["nobody's", link.key]) == [1]
    assert it.notices.imported([link.key]) == []
    (run,) = it.house.runs.due()
    assert run.reason == "linked"
    it.house.runs.finish(run.id, "success")
    it.house.clock.s += 299
    assert it.notices.imported([link.key]) == []
    it.house.clock.s += 2
    assert it.notices.imported([link.key]) == [1]
