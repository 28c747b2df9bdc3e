"""Trials, previews and explanations on real stores, asked for over HTTP and answered as the keeper answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from servicekit import web
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api import drafts, filters, rules
from stream_service.domain.lineup import LineupOptions, Override
from stream_service.wiring.building import rule_keys
from stream_service.wiring.rulebook import rulebook
from stream_service.wiring.trying import errands_of_rules
from tests.stream.sourcekit import House, playlist
from tvkit.expressions import Helpers

HOSTILE = r'channel_name matches "^(?:(?:a|aa|aaa)+)+[.!]$" SET group_title = "x"'
BAIT = "a" * 60 + "?"
ENTRIES = [
    {"name": "BBC One HD", "tvg-id": "bbc1.uk", "group-title": "UK", "tvg-chno": "101"},
    {"name": "BBC Two", "tvg-id": "bbc2.uk", "group-title": "UK"},
    {"name": "CNN", "tvg-id": "cnn.us", "group-title": "News"},
    {"name": "Late XXX", "group-title": "Night"},
]


class Site:
    """A house with two sources, its views, and the keeper's answers in the same thread."""

    def __init__(self, directory: Path) -> None:
        self.house = House(directory)
        house = self.house
        self.programmes: list[dict[str, str]] = []
        self.asked_of_guide: list[tuple[str, Sequence[str]]] = []

        def shown(lineup: str, channel_ids: Sequence[str]) -> list[dict[str, str]]:
            self.asked_of_guide.append((lineup, channel_ids))
            return self.programmes

        handlers = errands_of_rules(
            house.connections,
            rule_keys=rule_keys,
            sources=house.sources.all,
            programmes=shown,
            helpers=Helpers(),
            clock=house.clock,
        )

        def ask(kind: str, params: Mapping[str, object]) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(json.dumps(handlers[kind](json.loads(json.dumps(params)))))
            return found

        book = rulebook(house.connections, sources=house.sources.all, ask=ask, clock=house.clock)
        app = web.make_app(
            "drafts",
            title="Drafts of the tests",
            door=web.Door(admin_token="t", internal_secret="s"),
            metrics=Metrics("drafts", figures=list),
            settings=Settings(directory / "settings.json", lock=directory / "settings.lock"),
            checks=Checks(state=State, not_ready=lambda: None),
        )
        for blueprint in (rules.blueprint(book), filters.blueprint(book), drafts.blueprint(ask)):
            app.register_api(blueprint)
        self.client: FlaskClient = app.test_client()

    def fill(self) -> None:
        """Two sources, built."""
        lists: dict[str, list[Mapping[str, str] | str]] = {
            "a": [*ENTRIES],
            "b": ["Other One", {"name": "CNN", "tvg-id": "cnn.us"}],
        }
        for name, entries in lists.items():
            source = self.house.add(self.house.put(playlist(entries), name=f"{name}.m3u"), name=name)
            assert self.house.refresh(source.id).status == "success"
        self.house.build()

    def send(self, method: str, path: str, status: int = 200, **body: object) -> Any:
        answer = self.client.open(f"/api/v1{path}", method=method, json=body or None)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json(silent=True)

    def rule(self, name: str, expression: str, **more: object) -> int:
        return int(self.send("POST", "/rules", 201, name=name, expression=expression, **more)["id"])

    def attach(self, action: str, expression: str) -> int:
        made = self.send("POST", "/filters", 201, name=expression, expression=expression, action=action)
        before = [{"id": one["id"]} for one in self.send("GET", "/lineups/default/filters")["items"]]
        self.send("PUT", "/lineups/default/filters", filters=[*before, {"id": made["id"]}])
        return int(made["id"])

    def explain(self, channel: str, status: int = 200) -> Any:
        return self.send("GET", f"/lineups/default/explain?channel={channel}", status)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.fill()
    yield made
    made.house.connections.close()


# ---- trials ----------------------------------------------------------------------------------------------------------


def test_a_rule_is_tried_on_the_entries_that_are_there(site: Site) -> None:
    told = site.send("POST", "/rules/test", expression='channel_name contains "BBC" SET group_title = "BBC"', sample=1)
    assert (told["tested"], told["matched"], told["changed"], told["complete"]) == (6, 2, 2, True)
    assert told["sample"] == [
        {
            "stream_id": 1,
            "source_id": 1,
            "channel_id": "bbc1.uk",
            "before": {"channel_name": "BBC One HD", "group_title": "UK"},
            "after": {"channel_name": "BBC One HD", "group_title": "BBC"},
        }
    ]
    assert site.explain("bbc1.uk")["entries"][0]["rules"] == []


def test_a_rule_is_tried_behind_the_rules_that_stand_before_it(site: Site) -> None:
    site.rule("first", 'channel_name matches "^(.+) HD$" SET channel_name = "$1"')
    second = site.rule("second", 'channel_name equals "BBC One" SET group_title = "x"')
    site.rule("third", 'channel_name equals "BBC One" SET channel_name = "gone"')
    assert site.send("POST", "/rules/test", id=second)["matched"] == 1
    assert site.send("POST", "/rules/test", id=second, raw=True)["matched"] == 0
    new = 'channel_name equals "BBC One" SET group_title = "x"'
    assert site.send("POST", "/rules/test", expression=new)["matched"] == 0


def test_an_entry_that_a_rule_before_stops_is_not_met(site: Site) -> None:
    site.rule("stops", 'channel_name contains "BBC"', stop=True)
    assert site.send("POST", "/rules/test", expression='true SET group_title = "x"')["tested"] == 4
    assert site.send("POST", "/filters/test", expression="")["matched"] == 6


def test_a_trial_can_be_of_one_source_or_of_one_lineup(site: Site) -> None:
    site.house.lineups.create("only-b", LineupOptions(sources=(2,)))
    expression = 'true SET group_title = "x"'
    assert site.send("POST", "/rules/test", expression=expression, source_id=2)["matched"] == 2
    assert site.send("POST", "/rules/test", expression=expression, lineup="only-b")["matched"] == 2
    site.send("POST", "/rules/test", 404, expression=expression, lineup="nowhere")
    site.send("POST", "/rules/test", 404, id=999)


def test_a_filter_is_tried_and_shows_what_it_matches_and_what_not(site: Site) -> None:
    told = site.send("POST", "/filters/test", expression='group_title equals "UK"', sample=1)
    assert (told["tested"], told["matched"], told["not_matched"]) == (6, 2, 4)
    assert told["sample"][0]["record"] == {"channel_name": "BBC One HD", "group_title": "UK"}
    assert told["others"][0]["record"]["channel_name"] == "CNN"


@pytest.mark.parametrize(
    ("domain", "expression", "record", "after"),
    [
        ("stream", 'name ends_with "HD" SET group += "!"', {"name": "A HD", "group": "g"}, {"group_title": "g!"}),
        ("programme", 'title contains "x" SET category = "y"', {"title": "x"}, {"programme_category": "y"}),
    ],
)
def test_records_of_ones_own_can_be_tried(
    site: Site, domain: str, expression: str, record: dict[str, str], after: dict[str, str]
) -> None:
    told = site.send("POST", "/rules/test", expression=expression, domain=domain, records=[record, {}])
    assert (told["tested"], told["matched"]) == (2, 1)
    assert after.items() <= told["sample"][0]["after"].items()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"expression": "nonsense"}, "expression"),
        ({"expression": 'true SET group_title = "x"', "records": [{"nonsense": "x"}]}, "there is no field"),
    ],
)
def test_a_trial_of_nonsense_is_refused_with_the_reason(site: Site, body: dict[str, object], says: str) -> None:
    assert says in site.send("POST", "/rules/test", 400, **body)["detail"]


def test_a_programme_rule_is_tried_on_what_a_lineup_shows(site: Site) -> None:
    site.programmes = [
        {"channel_id": "cnn.us", "channel_name": "CNN", "programme_title": f"NEW: Talk {n}", "programme_start": "5"}
        for n in range(3)
    ]
    site.rule("first", 'title ends_with "2" SET category = "two"', domain="programme", stop=True)
    rule = site.rule("p", 'title matches "^NEW: (.+)" SET title = "$1"', domain="programme")
    told = site.send("POST", "/rules/test", id=rule, sample=1)
    assert (told["tested"], told["matched"], told["changed"]) == (2, 2, 2)
    assert told["sample"][0]["after"]["programme_title"] == "Talk 0"
    assert site.send("POST", "/rules/test", id=rule, raw=True)["tested"] == 3
    counted = site.send("POST", "/filters/test", expression='category equals "two"', domain="programme")
    assert (counted["tested"], counted["matched"]) == (3, 1)
    lineup, channels = site.asked_of_guide[0]
    assert lineup == "default"
    assert "cnn.us" in channels


def test_a_trial_of_a_hostile_pattern_ends_and_says_so(site: Site) -> None:
    told = site.send("POST", "/rules/test", expression=HOSTILE, records=[{"name": BAIT}, {"name": "x"}])
    assert (told["tested"], told["matched"], told["complete"]) == (1, 0, False)
    assert "make it simpler" in told["too_slow"]


def test_a_hostile_rule_before_the_one_that_is_tried_is_passed_over(site: Site) -> None:
    site.house.put(playlist([BAIT]), name="b.m3u")
    assert site.house.refresh(2, force=True).status == "success"
    site.rule("hostile", HOSTILE)
    told = site.send("POST", "/rules/test", expression='true SET group_title = "x"', source_id=2)
    assert (told["tested"], told["matched"], told["too_slow"]) == (1, 1, None)


# ---- previews --------------------------------------------------------------------------------------------------------

DRAFTS: list[dict[str, Any]] = [
    {},
    {"filters": [{"expression": 'group_title equals "UK"', "action": "include"}]},
    {"filters": [{"expression": 'channel_name contains "XXX"', "action": "exclude"}]},
    {"rules": [{"expression": 'channel_name matches "^(.+) HD$" SET channel_name = "$1", group_title = "HD"'}]},
    {"options": {"numbering": {"mode": "sequential", "first": 500}}},
    {"options": {"merge": "off", "order": "name"}},
    {"options": {"sources": [2]}},
    {"options": {"merge_rules": ['channel_name contains "BBC"']}},
    {"options": {"rules": False}, "filters": []},
]


@pytest.mark.parametrize("draft", DRAFTS, ids=lambda draft: ", ".join(draft) or "nothing")
def test_a_lineup_becomes_what_its_preview_said(site: Site, draft: dict[str, Any]) -> None:
    site.rule("standing", 'channel_name equals "CNN" SET group_title = "World"')
    told = site.send("POST", "/lineups/default/preview", limit=100, **draft)
    if "rules" in draft:
        site.send("POST", "/rules/import?mode=replace", items=[{"name": "new", **one} for one in draft["rules"]])
    if "filters" in draft:
        made = [site.send("POST", "/filters", 201, name="f", **one) for one in draft["filters"]]
        site.send("PUT", "/lineups/default/filters", filters=[{"id": one["id"]} for one in made])
    options = LineupOptions.of({**LineupOptions().as_dict(), **draft.get("options", {})})
    site.house.lineups.change("default", lambda _: options)
    before = set(site.house.numbers())
    site.house.build()
    numbers = site.house.numbers()
    assert {one["id"]: one["number"] for one in told["channels"]} == numbers
    assert {one["id"] for one in told["new"]} == set(numbers) - before
    assert {one["id"] for one in told["gone"]} == before - set(numbers)
    assert told["counts"]["channels"] == len(numbers)
    for one in told["channels"]:
        row = site.house.lineup_channels.get("default", one["id"])
        assert (row.name, row.group) == (one["name"], one["group"])


def test_a_preview_of_entries_that_no_build_has_met_yet_writes_nothing(site: Site) -> None:
    site.house.put(playlist([*ENTRIES, "Brand New"]), name="a.m3u")
    assert site.house.refresh(1, force=True).status == "success"
    connection = site.house.connections.get()
    before = connection.total_changes()
    told = site.send("POST", "/lineups/default/preview", limit=1)
    assert connection.total_changes() == before
    assert [one["name"] for one in told["new"]] == ["Brand New"]
    assert len(told["channels"]) == 1
    assert told["counts"]["entries"] == 7


def test_a_preview_counts_what_rules_and_filters_did(site: Site) -> None:
    told = site.send(
        "POST", "/lineups/default/preview",
        rules=[{"expression": 'channel_name contains "BBC" SET group_title = "BBC"'}, {"expression": HOSTILE}],
        filters=[{"expression": 'group_title equals "BBC"', "action": "exclude"}],
    )  # fmt: skip
    assert (told["rules"][0]["matched"], told["filters"][0]["matched"]) == (2, 2)
    assert (told["counts"]["entries"], told["counts"]["kept"], told["counts"]["gone"]) == (6, 4, 2)


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        ({"rules": [{"expression": "nonsense"}]}, "expression"),
        ({"rules": [{"stop": True}]}, "either an id or an expression"),
        ({"filters": [{"id": 3, "expression": ""}]}, "either an id or an expression"),
        ({"filters": [{"expression": 'true SET tvg_id = "x"'}]}, "actions belong in rules"),
        ({"options": {"merge_rules": ["nonsense"]}}, "expression"),
        ({"options": {"colour": "red"}}, "colour"),
        ({"limit": 9999}, "limit"),
    ],
)
def test_a_draft_that_could_not_be_built_is_refused_with_the_reason(
    site: Site, draft: dict[str, object], says: str
) -> None:
    assert says in site.send("POST", "/lineups/default/preview", 400, **draft)["detail"]


def test_a_draft_of_what_is_not_there_is_not_found(site: Site) -> None:
    site.send("POST", "/lineups/nowhere/preview", 404)
    site.send("POST", "/lineups/default/preview", 404, rules=[{"id": 99}])
    site.send("POST", "/lineups/default/preview", 404, filters=[{"id": 99}])


# ---- explanations ----------------------------------------------------------------------------------------------------


def test_an_explanation_says_what_every_rule_did(site: Site) -> None:
    site.rule("hd", 'channel_name matches "^(.+) HD$" SET channel_name = "$1"')
    site.rule("of b", 'true SET group_title = "b"', source_id=2)
    site.house.build()
    told = site.explain("BBC1.UK")
    entry = told["entries"][0]
    assert (told["channel"], told["shown"]["name"], told["shown"]["number"]) == ("bbc1.uk", "BBC One", "101")
    assert [(one["name"], one["applies"], one["matched"]) for one in entry["rules"]] == [
        ("hd", True, True), ("of b", False, False),
    ]  # fmt: skip
    assert entry["rules"][0]["changes"] == [{"field": "channel_name", "before": "BBC One HD", "after": "BBC One"}]
    assert (entry["listed_as"]["channel_name"], entry["becomes"]["channel_name"]) == ("BBC One HD", "BBC One")
    assert told["number"]["how"] == "the one its source asks for, kept for ever"
    assert "no filter takes it out" in told["because"]


def test_an_explanation_names_the_filter_that_takes_a_channel_out(site: Site) -> None:
    site.attach("exclude", 'channel_name contains "XXX"')
    waiting = site.explain("Late-XXX")
    assert waiting["shown"] is not None
    site.house.build()
    told = site.explain("Late-XXX")
    assert (told["shown"], told["entries"][0]["kept"]) == (None, False)
    assert told["because"] == "the filter 'channel_name contains \"XXX\"' takes it out"
    assert told["number"]["permanent"]


def test_an_explanation_says_that_no_include_lets_a_channel_in(site: Site) -> None:
    site.attach("include", 'group_title equals "UK"')
    assert "no include filter" in site.explain("Late-XXX")["because"]


def test_an_explanation_says_what_a_channel_is_one_with(site: Site) -> None:
    home = site.explain("cnn.us")
    other = home["merged"]["stands_for"][0]
    assert sorted(one["source_id"] for one in home["entries"]) == [1, 2]
    told = site.explain(other)
    assert told["merged"]["leads_to"] == "cnn.us"
    assert "one channel with cnn.us" in told["because"]


def test_an_explanation_tells_what_was_set_by_hand(site: Site) -> None:
    site.house.lineup_channels.override("default", "bbc2.uk", Override(number="7", hidden=True))
    site.house.build()
    told = site.explain("bbc2.uk")
    assert (told["because"], told["shown"]) == ("it is hidden by hand", None)
    assert (told["number"]["number"], told["number"]["how"]) == ("7", "set by hand")
    assert told["set_by_hand"]["hidden"] is True


def test_an_explanation_of_what_is_listed_no_more_says_so(site: Site) -> None:
    site.house.sources.update(1, {"enabled": False})
    assert "no enabled source" in site.explain("bbc1.uk")["because"]
    site.explain("nowhere", 404)


def test_an_explanation_holds_no_address_of_a_provider(site: Site) -> None:
    assert "streams.example" not in json.dumps(site.explain("bbc1.uk"))
