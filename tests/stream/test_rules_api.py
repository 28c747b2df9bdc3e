"""Rules and filters over HTTP, on the real stores: written, ordered, carried from house to house, attached."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from servicekit import web
from servicekit.clock import SystemClock
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api import filters, rules
from stream_service.domain.rules import Filter, Rule
from stream_service.rules.shipped import FILTERS, RULES
from stream_service.store.connection import open_database
from stream_service.store.sources import Sources
from stream_service.wiring.rulebook import Rulebook, filter_store, rule_store
from stream_service.wiring.trying import for_guide, write_down_shipped

UK = 'channel_name contains "BBC" SET group_title = "UK"'
NEWS = 'group_title equals "News"'


class House:
    """A database with its views; what is asked of the keeper is only written down."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        clock = SystemClock()
        self.connections = open_database(directory / "stream.db", backups=directory, lock=directory / "lock")
        self.sources = Sources(self.connections, clock=clock)
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.book = Rulebook(
            rules=rule_store(self.connections, clock=clock),
            filters=filter_store(self.connections, clock=clock),
            source_names=lambda: {one.id: one.name for one in self.sources.all()},
            ask=self._ask,
        )
        app = web.make_app(
            "rules",
            title="Rules of the tests",
            door=web.Door(admin_token="t", internal_secret="s"),
            metrics=Metrics("rules", figures=list),
            settings=Settings(directory / "settings.json", lock=directory / "settings.lock"),
            checks=Checks(state=State, not_ready=lambda: None),
        )
        app.register_api(rules.blueprint(self.book))
        app.register_api(filters.blueprint(self.book))
        self.client: FlaskClient = app.test_client()

    def _ask(self, kind: str, params: Mapping[str, object]) -> dict[str, Any]:
        self.asked.append((kind, params))
        return {"tested": 0}

    def send(self, method: str, path: str, status: int = 200, **body: object) -> Any:
        answer = self.client.open(f"/api/v1{path}", method=method, json=body or None)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json(silent=True)

    def rule(self, name: str, expression: str = UK, **more: object) -> int:
        return int(self.send("POST", "/rules", 201, name=name, expression=expression, **more)["id"])

    def filter(self, name: str, expression: str = NEWS, **more: object) -> int:
        return int(self.send("POST", "/filters", 201, name=name, expression=expression, **more)["id"])

    def order(self) -> list[str]:
        return [one["name"] for one in self.send("GET", "/rules")["items"]]

    def fresh(self) -> None:
        """As after a build: no lineup is stale."""
        self.connections.get().execute("UPDATE lineups SET stale = 0")

    def stale(self) -> list[str]:
        return [row[0] for row in self.connections.get().execute("SELECT name FROM lineups WHERE stale = 1")]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


# ---- rules -----------------------------------------------------------------------------------------------------------


def test_a_rule_is_written_read_changed_and_forgotten(house: House) -> None:
    made = house.send("POST", "/rules", 201, name="UK", expression=UK, stop=True, description="all of the BBC")
    path = f"/rules/{made['id']}"
    assert (made["domain"], made["enabled"], made["source_id"], made["shipped"]) == ("stream", True, None, None)
    assert house.send("GET", path) == made
    changed = house.send("PUT", path, enabled=False, name="Britain")
    assert (changed["name"], changed["enabled"], changed["stop"]) == ("Britain", False, True)
    house.send("DELETE", path, 204)
    house.send("GET", path, 404)


def test_new_rules_stand_behind_the_others_and_can_be_put_in_another_order(house: House) -> None:
    a, b, c = (house.rule(name) for name in "abc")
    assert house.order() == ["a", "b", "c"]
    house.send("POST", "/rules/reorder", ids=[c, a])
    assert house.order() == ["c", "b", "a"]
    house.send("POST", "/rules/reorder", ids=[b, a, c])
    assert house.order() == ["b", "a", "c"]
    house.send("POST", "/rules/reorder", 400, ids=[a, a])
    house.send("POST", "/rules/reorder", 404, ids=[a, 999])


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param({"name": "x", "expression": 'channel_nam contains "a" SET tvg_id = "b"'}, 400, "channel_nam",
                     id="unknown field"),
        pytest.param({"name": "x", "expression": 'channel_name contains "a"'}, 400, "needs an action", id="no action"),
        pytest.param({"name": "x", "expression": "x" * 5_000}, 400, "4,096", id="too long"),
        pytest.param({"name": "x", "expression": UK, "domain": "film"}, 400, "domain", id="unknown domain"),
        pytest.param({"name": "x", "expression": UK, "source_id": 77}, 400, "source", id="unknown source"),
        pytest.param({"name": "x", "expression": UK, "lineup": "nowhere"}, 400, "lineup", id="unknown lineup"),
        pytest.param({"name": " ", "expression": UK}, 400, "name", id="no name"),
        pytest.param({"name": "x", "expression": UK, "priority": 3}, 400, "priority", id="unknown key"),
        pytest.param({"name": "TAKEN", "expression": UK}, 409, "already", id="name taken, whatever its case"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_rule_is_refused_with_the_reason(
    house: House, body: dict[str, object], status: int, says: str
) -> None:
    house.rule("taken")
    assert says in house.send("POST", "/rules", status, **body)["detail"]
    assert house.order() == ["taken"]


def test_a_fault_in_an_expression_is_told_with_its_place_and_how_to_mend_it(house: House) -> None:
    rule_id = house.rule("a")
    for method, path in (("POST", "/rules"), ("PUT", f"/rules/{rule_id}")):
        told = house.send(method, path, 400, name="b", expression='channel_name contans "BBC" SET group_title = "UK"')
        fault = told["errors"][0]
        assert (fault["where"], fault["position"], fault["suggestion"]) == ("expression", 13, "contains")


def test_every_write_of_a_rule_that_works_lets_the_lineups_be_built_again(house: House) -> None:
    house.connections.get().execute("INSERT INTO lineups (name, created_at) VALUES ('kids', 0)")
    house.fresh()
    rule_id = house.rule("a")
    writes: list[Callable[[], object]] = [
        lambda: house.send("PUT", f"/rules/{rule_id}", name="b"),
        lambda: house.send("POST", "/rules/reorder", ids=[rule_id]),
        lambda: house.send("POST", "/rules/import", items=[{"name": "b", "expression": UK, "stop": True}]),
        lambda: house.send("PUT", f"/rules/{rule_id}", enabled=False),
        lambda: house.send("PUT", f"/rules/{rule_id}", enabled=True),
        lambda: house.send("DELETE", f"/rules/{rule_id}", 204),
        lambda: house.send("POST", "/rules/import?mode=replace", items=[{"name": "c", "expression": UK}]),
    ]
    for write in writes:
        assert house.stale() == ["default", "kids"]
        house.fresh()
        write()
    assert house.stale() == ["default", "kids"]


def test_a_rule_that_does_not_work_or_works_elsewhere_lets_a_lineup_be(house: House) -> None:
    house.connections.get().execute("INSERT INTO lineups (name, created_at) VALUES ('kids', 0)")
    house.fresh()
    off = house.rule("off", enabled=False)
    house.send("PUT", f"/rules/{off}", name="still off")
    house.send("POST", "/rules/reorder", ids=[off])
    assert house.stale() == []
    house.rule("kids only", lineup="kids")
    assert house.stale() == ["kids"]
    house.send("PUT", f"/rules/{off}", enabled=True)
    assert house.stale() == ["default", "kids"]


def test_rules_of_one_domain_are_listed_alone(house: House) -> None:
    house.rule("s")
    house.rule("p", 'programme_title contains "x" SET programme_category = "y"', domain="programme")
    assert [one["name"] for one in house.send("GET", "/rules?domain=programme")["items"]] == ["p"]


def test_a_rule_of_a_source_goes_with_its_source(house: House) -> None:
    source = house.sources.create({"name": "s", "type": "m3u", "url": "http://example.com/x.m3u"})
    house.rule("of s", source_id=source.id)
    house.connections.get().execute("DELETE FROM sources")
    assert house.order() == []


def test_rules_of_a_lineup_are_those_of_all_and_its_own(house: House) -> None:
    house.connections.get().execute("INSERT INTO lineups (name, created_at) VALUES ('kids', 0)")
    house.rule("all")
    house.rule("kids only", lineup="kids")
    house.rule("off", enabled=False)
    store = house.book.rules
    assert [one.name for one in store.of_lineup("default")] == ["all"]
    assert [one.name for one in store.of_lineup("kids")] == ["all", "kids only"]


# ---- documents -------------------------------------------------------------------------------------------------------


def test_rules_go_from_one_house_to_another_and_come_out_the_same(house: House, tmp_path: Path) -> None:
    for one in (house, other := House(tmp_path / "other")):
        one.sources.create({"name": f"s{id(one)}", "type": "m3u", "url": "http://example.com/other.m3u"})
        one.sources.create({"name": "Home", "type": "m3u", "url": "http://example.com/x.m3u"})
    write_down_shipped(house.connections, clock=SystemClock())
    home = next(one.id for one in house.sources.all() if one.name == "Home")
    house.rule("b", source_id=home, stop=True)
    house.rule("a", description="first in the alphabet", enabled=False)
    document = house.send("GET", "/rules/export")
    assert other.send("POST", "/rules/import", **document) == {
        "applied": True, "created": len(RULES) + 2, "updated": 0, "unchanged": 0, "deleted": 0,
    }  # fmt: skip
    assert other.send("GET", "/rules/export") == document
    again = other.send("POST", "/rules/import", **document)
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, len(RULES) + 2)
    other.connections.close()


def test_filters_go_from_one_house_to_another_and_come_out_the_same(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    house.filter("News", action="exclude")
    house.filter("All", "")
    document = house.send("GET", "/filters/export")
    assert other.send("POST", "/filters/import", **document)["created"] == 2
    assert other.send("GET", "/filters/export") == document
    other.connections.close()


def test_an_import_can_be_looked_at_first_and_can_replace(house: House) -> None:
    house.rule("a")
    house.rule("b")
    items = [
        {"name": "b", "expression": UK, "stop": True},
        {"name": "c", "expression": UK},
        {"name": "A", "expression": UK},
    ]
    told = house.send("POST", "/rules/import?apply=false", items=items)
    assert told == {"applied": False, "created": 1, "updated": 2, "unchanged": 0, "deleted": 0}
    assert house.order() == ["a", "b"]
    house.send("POST", "/rules/import", items=items)
    assert house.order() == ["b", "c", "A"]
    told = house.send("POST", "/rules/import?mode=replace", items=items[:1])
    assert (told["deleted"], told["unchanged"]) == (2, 1)
    assert house.order() == ["b"]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        pytest.param({"name": "x", "expression": "nonsense"}, "items.1", id="an expression that is none"),
        pytest.param({"name": "x", "expression": UK, "source": "Nowhere"}, "items.1.source", id="an unknown source"),
        pytest.param({"name": "GOOD", "expression": UK}, "items.1.name", id="a name twice"),
        pytest.param({"name": "x", "expression": UK, "id": 3}, "items.1.id", id="an unknown key"),
    ],
)
def test_one_bad_item_of_a_document_changes_nothing(house: House, item: dict[str, object], says: str) -> None:
    told = house.send("POST", "/rules/import", 400, items=[{"name": "good", "expression": UK}, item])
    assert says in told["detail"]
    assert house.order() == []


@pytest.mark.parametrize(
    "body", [{"items": [], "format": "aerial-filters"}, {"items": [], "version": 2}, {"rules": []}]
)
def test_a_document_of_another_kind_is_refused(house: House, body: dict[str, object]) -> None:
    house.send("POST", "/rules/import", 400, **body)


# ---- shipped ---------------------------------------------------------------------------------------------------------


def test_shipped_rules_are_there_and_off_and_come_back_only_when_asked_for(house: House) -> None:
    def shipped() -> None:
        write_down_shipped(house.connections, clock=SystemClock())

    shipped()
    listed = house.send("GET", "/rules")["items"]
    assert [one["shipped"] for one in listed] == [one["shipped"] for one in RULES]
    assert not any(one["enabled"] for one in listed)
    assert house.send("GET", "/lineups/default/filters")["items"] == []
    gone, bent = listed[0]["id"], listed[1]["id"]
    house.send("DELETE", f"/rules/{gone}", 204)
    house.send("PUT", f"/rules/{bent}", name="Mine", expression=UK, enabled=True)
    shipped()
    assert len(house.order()) == len(RULES) - 1
    told = house.send("POST", "/rules/restore")
    assert (told["created"], told["updated"], told["unchanged"]) == (1, 1, len(RULES) - 2)
    restored = house.send("GET", f"/rules/{bent}")
    assert (restored["name"], restored["expression"], restored["enabled"]) == (
        RULES[1]["name"], RULES[1]["expression"], True,
    )  # fmt: skip


def test_one_shipped_filter_is_restored_by_its_key(house: House) -> None:
    told = house.send("POST", "/filters/restore", keys=["adult-off"])
    assert told["created"] == 1
    assert [one["shipped"] for one in house.send("GET", "/filters")["items"]] == ["adult-off"]
    house.send("POST", "/filters/restore", 404, keys=["no-such"])
    assert len(FILTERS) > 1


# ---- filters ---------------------------------------------------------------------------------------------------------


def test_filters_are_attached_to_a_lineup_in_their_order(house: House) -> None:
    news, adult = house.filter("News"), house.filter("Adult", "is_adult equals true", action="exclude")
    house.fresh()
    put = house.send("PUT", "/lineups/default/filters", filters=[{"id": adult}, {"id": news, "action": "exclude"}])
    assert house.stale() == ["default"]
    assert [(one["name"], one["action"], one["active"]) for one in put["items"]] == [
        ("Adult", "exclude", True), ("News", "exclude", True),
    ]  # fmt: skip
    assert house.send("GET", "/lineups/default/filters") == put
    assert house.send("GET", f"/filters/{news}")["lineups"] == ["default"]
    house.send("PUT", f"/filters/{news}", enabled=False)
    assert [one["active"] for one in house.send("GET", "/lineups/default/filters")["items"]] == [True, False]
    house.send("DELETE", f"/filters/{adult}", 204)
    assert len(house.send("GET", "/lineups/default/filters")["items"]) == 1
    assert house.send("PUT", "/lineups/default/filters", filters=[])["items"] == []


def test_only_the_lineups_that_a_filter_is_attached_to_are_built_again(house: House) -> None:
    house.connections.get().execute("INSERT INTO lineups (name, created_at) VALUES ('kids', 0)")
    news = house.filter("News")
    house.send("PUT", "/lineups/kids/filters", filters=[{"id": news}])
    house.fresh()
    house.send("PUT", f"/filters/{news}", expression="")
    assert house.stale() == ["kids"]
    house.fresh()
    house.send("DELETE", f"/filters/{news}", 204)
    assert house.stale() == ["kids"]


def test_what_cannot_be_attached_is_refused(house: House) -> None:
    news = house.filter("News")
    house.send("PUT", "/lineups/default/filters", 400, filters=[{"id": 999}])
    house.send("PUT", "/lineups/default/filters", 400, filters=[{"id": news}, {"id": news}])
    house.send("PUT", "/lineups/nowhere/filters", 404, filters=[])
    house.send("GET", "/lineups/nowhere/filters", 404)
    assert "actions belong in rules" in house.send("POST", "/filters", 400, name="x", expression=UK)["detail"]


# ---- for the guide, and trials ---------------------------------------------------------------------------------------


def test_the_guide_service_gets_what_speaks_of_programmes(house: House) -> None:
    told = for_guide(house.connections, clock=SystemClock())
    house.rule("s")
    assert told("default") == {}
    rule_id = house.rule("p", 'title contains "x" SET category = "y"', domain="programme", stop=True)
    filter_id = house.filter("f", 'title contains "z"', domain="programme", action="exclude")
    house.send("PUT", "/lineups/default/filters", filters=[{"id": filter_id}])
    assert told("default") == {
        "rules": [{"id": rule_id, "name": "p", "expression": 'title contains "x" SET category = "y"', "stop": True}],
        "filters": [{"id": filter_id, "name": "f", "expression": 'title contains "z"', "action": "exclude"}],
    }


def test_trials_are_for_the_keeper(house: House) -> None:
    house.send("POST", "/rules/test", expression=UK, sample=5)
    house.send("POST", "/filters/test", id=3, source_id=2)
    assert [kind for kind, _ in house.asked] == ["rules-test", "filters-test"]
    assert (house.asked[0][1]["expression"], house.asked[0][1]["sample"]) == (UK, 5)
    assert (house.asked[1][1]["id"], house.asked[1][1]["source_id"]) == (3, 2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"expression": UK, "id": 1}, id="both"),
        pytest.param({"expression": UK, "sample": 1000}, id="too large a sample"),
        pytest.param({"expression": UK, "records": [{"a": 1}]}, id="a record that is none"),
    ],
)
def test_a_trial_that_says_too_little_or_too_much_is_refused(house: House, body: dict[str, object]) -> None:
    house.send("POST", "/rules/test", 400, **body)
    assert house.asked == []


def test_a_store_refuses_what_cannot_be_understood_whoever_writes_it(house: House) -> None:
    with pytest.raises(Exception, match="expression"):
        house.book.rules.create({"name": "x", "expression": "nonsense"})
    with pytest.raises(Exception, match="expression"):
        house.book.filters.create({"name": "x", "expression": "nonsense"})
    assert (house.book.rules.all(), house.book.filters.all()) == ([], [])
    assert isinstance(house.book.rules.create({"name": "r", "expression": UK}), Rule)
    assert isinstance(house.book.filters.create({"name": "f", "expression": ""}), Filter)
