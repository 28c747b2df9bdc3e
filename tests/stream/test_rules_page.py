"""What docs/rules.md tells people to write works as it stands there."""

import re
from pathlib import Path

import pytest

from stream_service.domain.rules import Domain, Filter, Rule
from stream_service.rules.check import check_filter, check_rule
from stream_service.rules.shipped import FILTERS, RULES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text()
BLOCKS = re.findall(r"^```((?:programme )?(?:rule|filter))\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "expression"), BLOCKS)
def test_every_example_can_be_written_down(kind: str, expression: str) -> None:
    domain: Domain = "programme" if kind.startswith("programme") else "stream"
    if kind.endswith("rule"):
        check_rule(Rule(id=0, name="example", expression=expression, domain=domain))
    else:
        check_filter(Filter(id=0, name="example", expression=expression, domain=domain))


def test_there_are_examples_of_every_kind() -> None:
    assert {kind for kind, _ in BLOCKS} == {"rule", "programme rule", "filter"}


def test_everything_that_comes_shipped_is_on_the_page() -> None:
    assert [one["shipped"] for one in (*RULES, *FILTERS) if f"`{one['shipped']}`" not in PAGE] == []
