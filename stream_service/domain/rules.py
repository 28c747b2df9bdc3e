"""What people write in the expression language: rules that change texts, and filters that choose. Pure values.

Both are of a domain: `stream` (the entries of sources, applied when a lineup is built) or `programme` (the guide,
applied by the guide service when it publishes a lineup).
"""

from dataclasses import dataclass
from typing import Literal

Domain = Literal["stream", "programme"]
DOMAINS: tuple[Domain, ...] = ("stream", "programme")
Action = Literal["include", "exclude"]
ACTIONS: tuple[Action, ...] = ("include", "exclude")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition with actions. Rules run in the order of `position`; each sees what the ones before it did.

    `source_id`, `lineup`: only for the entries of that source, only in that lineup; None means all. `stop`: an entry
    that it matched is not shown to the rules behind it. `shipped`: the key of one that came with the program, '' else.
    """

    id: int
    name: str
    expression: str
    domain: Domain = "stream"
    source_id: int | None = None
    lineup: str | None = None
    enabled: bool = True
    stop: bool = False
    description: str = ""
    shipped: str = ""
    position: int = 0
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition that chooses. `action`: what it usually does where it is attached."""

    id: int
    name: str
    expression: str
    domain: Domain = "stream"
    action: Action = "include"
    enabled: bool = True
    description: str = ""
    shipped: str = ""
    position: int = 0
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class Attached:
    """A filter in its place in a lineup, and what it does there."""

    filter: Filter
    action: Action
    enabled: bool = True

    @property
    def active(self) -> bool:
        """Whether it takes part: switched off here or everywhere it does not."""
        return self.enabled and self.filter.enabled
