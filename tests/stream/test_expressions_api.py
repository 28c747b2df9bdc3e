"""The language of rules over the API and on its page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
from flask.testing import FlaskClient

from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door, make_app
from stream_service.api import expressions
from tvkit.expressions import DOMAINS, PROGRAMME, REQUEST, SPELLINGS, STREAM, validate

P = ParamSpec("P")
T = TypeVar("T")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "expressions.md").read_text("utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.strip() and "curl" not in block
]


def directly(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return fn(*args, **kwargs)


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    app = make_app(
        "expressions",
        title="Expressions",
        door=Door(admin_token="t" * 40, internal_secret="s" * 40),
        metrics=Metrics("aerial_stream", figures=list),
        settings=Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(expressions.blueprint(call=directly))
    return app.test_client()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_is_right(example: str) -> None:
    judged = {fields.domain: validate(example, fields) for fields in (STREAM, PROGRAMME, REQUEST)}
    assert any(one.is_valid for one in judged.values()), judged["stream"].faults


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 30


def test_the_page_names_every_field() -> None:
    for fields in DOMAINS.values():
        assert [one.name for one in fields if f"`{one.name}`" not in PAGE] == []


def test_the_page_names_every_operator_and_spelling() -> None:
    for word in {*SPELLINGS, "AND", "OR", "NOT", "case_sensitive"} - {"startswith", "endswith"}:
        assert word in PAGE


def test_a_right_expression_is_shown_as_it_is_understood(client: FlaskClient) -> None:
    answer = client.post("/api/v1/expressions/validate", json={"expression": 'name =~ "a" && group == "b"'})
    assert answer.status_code == 200
    assert answer.get_json() == {
        "is_valid": True,
        "errors": [],
        "canonical_expression": 'channel_name matches "a" AND group_title equals "b"',
        "expression_tree": validate('name =~ "a" && group == "b"', STREAM).tree,
    }


def test_a_wrong_expression_is_an_answer_and_no_error(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/expressions/validate", json={"expression": 'nme contains "a" AND', "domain": "stream"}
    )
    assert answer.status_code == 200
    told = answer.get_json()
    assert told["is_valid"] is False
    assert [one["error_type"] for one in told["errors"]] == ["unknown_field", "missing_condition"]
    assert set(told["errors"][0]) == {
        "category", "error_type", "message", "details", "position", "line", "column", "context", "suggestion",
    }  # fmt: skip


def test_the_domain_says_which_fields_there_are(client: FlaskClient) -> None:
    body = {"expression": 'programme_title contains "a"'}
    judged = [
        client.post("/api/v1/expressions/validate", json=body | {"domain": domain}).get_json()["is_valid"]
        for domain in ("stream", "programme", "request")
    ]
    assert judged == [False, True, False]


@pytest.mark.parametrize(
    "body",
    [
        {"expression": 5},
        {"expression": None},
        {"expression": ["a"]},
        {"expression": "true", "domain": "elsewhere"},
        {"expression": "true", "domain": 7},
        {"expression": "(" * 100_000},
        {"expression": 'name matches "((a{1000}){1000}){1000}"'},
    ],
    ids=range(7),
)
def test_whatever_is_sent_is_judged(client: FlaskClient, body: dict[str, object]) -> None:
    answer = client.post("/api/v1/expressions/validate", json=body)
    assert answer.status_code == 200
    assert answer.get_json()["is_valid"] is False
    assert answer.get_json()["errors"][0]["message"]


def test_an_empty_expression_is_right(client: FlaskClient) -> None:
    for body in ({}, {"expression": ""}, {"expression": " ", "more": 1}):
        answer = client.post("/api/v1/expressions/validate", json=body)
        assert (answer.status_code, answer.get_json()["is_valid"]) == (200, True)


def test_what_is_no_json_is_refused(client: FlaskClient) -> None:
    for body in (b"{", b"[]", b'"x"', b'{"expression": "\\ud800"}'):
        answer = client.post("/api/v1/expressions/validate", data=body, content_type="application/json")
        assert answer.status_code == 400


def test_the_words_are_listed(client: FlaskClient) -> None:
    fields = client.get("/api/v1/expressions/fields").get_json()["items"]
    assert {"stream", "programme", "request"} == {one["domain"] for one in fields}
    only = client.get("/api/v1/expressions/fields?domain=stream").get_json()["items"]
    assert [one["name"] for one in only] == list(STREAM.names)
    assert {"name": "stream_url", "read_only": True}.items() <= next(
        o for o in only if o["name"] == "stream_url"
    ).items()
    operators = client.get("/api/v1/expressions/operators").get_json()["items"]
    assert next(one for one in operators if one["name"] == "equals")["spellings"] == ["equals", "eq", "=="]
    helpers = client.get("/api/v1/expressions/helpers").get_json()["items"]
    assert {one["name"].partition(":")[0]: one["domains"] for one in helpers} == {
        "@logo": ["stream"],
        "@time": ["stream", "programme", "request"],
        "@dynamic(request.headers)": ["request"],
    }
    assert client.get("/api/v1/expressions/fields?domain=x").status_code == 400
