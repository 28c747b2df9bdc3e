"""The language of rules and filters: one line that says which records are meant, and what is done to them.

    channel_name matches "(.+) HD$" AND NOT group_title contains "Sport" SET channel_name = "$1", group_title ?= "TV"

Pure. A text becomes words (`tokens`, `roles`), a tree (`syntax` and `building`, by the grammar in grammar.lark), is
checked (`limits`, `checks`) and becomes closures (`conditions`, `actions`). Records are mappings of canonical field
names to text.
"""

from tvkit.expressions.asking import FORMS
from tvkit.expressions.asking import Lookups as Helpers
from tvkit.expressions.expression import (
    Applied,
    Change,
    Expression,
    Validation,
    compile_expression,
    parse,
    validate,
)
from tvkit.expressions.faults import ExpressionError, Fault
from tvkit.expressions.fields import DOMAINS, HEADER, PROGRAMME, REQUEST, STREAM, Field, Fields
from tvkit.expressions.patterns import Bound
from tvkit.expressions.tokens import OPERATORS as SPELLINGS

__all__ = [
    "DOMAINS",
    "FORMS",
    "HEADER",
    "PROGRAMME",
    "REQUEST",
    "SPELLINGS",
    "STREAM",
    "Applied",
    "Bound",
    "Change",
    "Expression",
    "ExpressionError",
    "Fault",
    "Field",
    "Fields",
    "Helpers",
    "Validation",
    "compile_expression",
    "parse",
    "validate",
]
