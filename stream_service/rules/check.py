"""Rules and filters looked at before they are written down."""

from servicekit.errors import Invalid
from stream_service.domain.rules import Filter, Rule
from tvkit.expressions import PROGRAMME, STREAM, Expression, ExpressionError, compile_expression

FIELDS = {"stream": STREAM, "programme": PROGRAMME}


def check_rule(rule: Rule) -> None:
    """Raises `Invalid`, with every fault and its place, for a rule that cannot be understood or does nothing."""
    expression = understood(rule.expression, rule.domain)
    if not expression.writes and not rule.stop:
        raise _without_place('a rule needs an action, such as SET group_title = "Sport" behind its condition')
    if rule.domain == "programme" and rule.source_id is not None:
        raise Invalid("source_id: rules for programmes are of all sources; a condition may ask for source_name")


def check_filter(one: Filter) -> None:
    """Raises `Invalid`, with every fault and its place, for a filter that cannot be understood or changes something."""
    if understood(one.expression, one.domain).writes:
        raise _without_place("a filter is a condition alone; actions belong in rules")


def understood(text: str, domain: str) -> Expression:
    """The expression; raises `Invalid` with every fault and its place."""
    try:
        return compile_expression(text, FIELDS[domain])
    except ExpressionError as error:
        told = [{"where": "expression", "what": fault.message, **fault.as_json()} for fault in error.faults]
        raise Invalid(f"expression: {error}", errors=told) from error


def _without_place(message: str) -> Invalid:
    return Invalid(f"expression: {message}", errors=[{"where": "expression", "what": message}])
