"""What is wrong with an expression: where, what was found, what was expected, and how to mend it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Category = Literal["syntax", "field", "operator", "value"]
_AROUND = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `position` counts characters from 0, `line` and `column` from 1; `context` is the text around it."""

    category: Category
    error_type: str
    message: str
    details: str = ""
    position: int = 0
    line: int = 1
    column: int = 1
    context: str = ""
    suggestion: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class ExpressionError(ValueError):
    """An expression that cannot be used; `faults` lists everything that is wrong with it, in order of place."""

    def __init__(self, faults: "list[Fault] | tuple[Fault, ...]") -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"line {first.line}, column {first.column}: {first.message}{more}")


class Findings:
    """Gathers the faults of one text; says each only once."""

    MOST = 25

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[tuple[str, int, str], Fault] = {}

    def add(
        self,
        category: Category,
        error_type: str,
        message: str,
        position: int,
        *,
        details: str = "",
        suggestion: str = "",
    ) -> None:
        position = min(max(position, 0), len(self._text))
        key = (error_type, position, message)
        if key in self._found or self.full:
            return
        before = self._text[:position]
        context = self._text[max(0, position - _AROUND) : position + _AROUND]
        self._found[key] = Fault(
            category,
            error_type,
            message,
            details,
            position,
            before.count("\n") + 1,
            position - (before.rfind("\n") + 1) + 1,
            context,
            suggestion,
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._found.values(), key=lambda fault: fault.position))

    @property
    def full(self) -> bool:
        """Whether nothing more is told."""
        return len(self._found) >= self.MOST

    def __bool__(self) -> bool:
        return bool(self._found)
