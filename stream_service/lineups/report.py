"""What a build did: counts and processor time of each stage, and what somebody should know."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

MOST_WARNINGS = 50


class Report:
    """Filled while a build goes on; `as_dict` is what the log of builds keeps."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.details: dict[str, object] = {}
        self._stages: dict[str, dict[str, float]] = {}
        self._stage = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside is the stage's: `count` speaks of it, its processor time is measured."""
        self._stage, began = name, time.thread_time()
        self._stages[name] = {}
        try:
            yield
        finally:
            self._stages[name]["cpu_s"] = round(time.thread_time() - began, 3)

    def count(self, **counts: int) -> None:
        """Say how many of something the present stage met."""
        self._stages[self._stage].update(counts)

    def warn(self, text: str) -> None:
        """Something a person should know; so many are kept."""
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(text)

    def as_dict(self) -> dict[str, object]:
        """Everything, as JSON knows it."""
        return {"stages": self._stages, "warnings": self.warnings, **self.details}
