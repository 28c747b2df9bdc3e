"""What is told of a lineup's rules and filters for programmes."""

from collections.abc import Mapping
from typing import Any


def ruled(extras: Mapping[str, Any]) -> dict[str, object]:
    """A lineup's rules and filters for programmes: how many there are, and which of them cannot be used."""
    return {
        "programme_rules": len(extras.get("rules", ())),
        "programme_filters": len(extras.get("filters", ())),
        "faults": extras.get("faults", []),
    }
