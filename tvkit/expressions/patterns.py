"""Patterns that people write, as searches of bounded cost.

Three things keep them cheap and none of them changes what matches:

- a literal that every match must contain is looked for first (`in` costs a tenth of a search);
- what a pattern may cost is metered; a pattern that takes far more than patterns do is given up: from then on it cannot
  say whether a text matches, and raises `GaveUp`;
- a pattern or a text that could take exponentially long runs under a time limit as well. Others do not: the limit
  alone costs more than the search.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import regex

from tvkit.expressions.shape import Shape, shape_of

Search = Callable[[str], Any]
"""A text to its match (which is true) or None."""


class InvalidPattern(ValueError):
    """A pattern that is none, with the place in it (characters from 0)."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class GaveUp(Exception):
    """A pattern could not say in its time whether a text matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What patterns may cost: one search at most `search_s`, all together `start_s` and `mean_s` for each search.

    The clocks are handed in. The cheap one runs on while others have the processor, so what looks too dear by it is
    measured again by the thread's own time before it is given up.
    """

    search_s: float = 0.25
    start_s: float = 0.5
    mean_s: float = 20e-6
    wall: Callable[[], float] = time.perf_counter
    thread: Callable[[], float] = time.thread_time


class _Pattern(Protocol):
    def search(self, text: str, *, timeout: float | None = None) -> Any: ...


def compiled(pattern: str, *, case_sensitive: bool) -> tuple[_Pattern, Shape]:
    """The pattern ready to search, unanchored; raises `InvalidPattern`."""
    shape = shape_of(pattern)
    if shape.too_deep:
        raise InvalidPattern("parentheses of a pattern nest at most 40 deep")
    if shape.too_big:
        raise InvalidPattern("counted repeats make it too long: written out, a pattern has at most 10,000 parts")
    if shape.calls_itself:
        raise InvalidPattern("a pattern may not call itself or a group of its own")
    try:
        found: _Pattern = regex.compile(pattern, 0 if case_sensitive else regex.IGNORECASE)
    except regex.error as error:
        raise InvalidPattern(str(error.msg), error.pos or 0) from error
    except (RecursionError, OverflowError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidPattern(f"the pattern cannot be read: {error}") from error
    return found, shape


class Meter:
    """One pattern's search, metered."""

    def __init__(self, pattern: _Pattern, shape: Shape, bound: Bound) -> None:
        self._plain = pattern.search
        self._free, self._longest = shape.longest_free, shape.longest_plain
        self._bound = bound
        self._clock = bound.wall
        self._left_s = bound.start_s
        self._exhausted = False

    def search(self, text: str) -> Any:
        """The match or None; raises `GaveUp`. Texts so short that nothing can go wrong are not metered."""
        if len(text) <= self._free:
            return self._plain(text)
        if self._exhausted:
            raise GaveUp
        before = self._clock()
        try:
            if len(text) <= self._longest:
                return self._plain(text)
            return self._plain(text, timeout=self._bound.search_s)
        except TimeoutError as error:
            raise GaveUp from error
        finally:
            self._left_s += self._bound.mean_s - (self._clock() - before)
            if self._left_s < 0:
                self._over()

    def _over(self) -> None:
        if self._clock is self._bound.thread:
            self._exhausted = True
        self._clock = self._bound.thread
        self._left_s = self._bound.start_s


def parted(pattern: str, *, case_sensitive: bool, bound: Bound) -> tuple[tuple[str, ...], Search]:
    """Literals that a folded text must contain, rarer ones first, and the metered search for texts that do.

    Raises `InvalidPattern`.
    """
    found, shape = compiled(pattern, case_sensitive=case_sensitive)
    search = found.search if shape.costs_nothing else Meter(found, shape, bound).search
    exact = case_sensitive and not shape.ignores_case
    if not shape.literals or (len(shape.literals) == 1 and not exact):
        return _folded([*shape.sure, *shape.literals]), search
    return (), _any_of(shape.literals, search, exact)


def _folded(literals: Iterable[str]) -> tuple[str, ...]:
    """Each once, none that stands in another; words and long ones first: blanks and signs stand in many names."""
    folded = {one.casefold() for one in literals}
    needed = [one for one in folded if not any(one != other and one in other for other in folded)]
    return tuple(sorted(needed, key=lambda one: (not one.isalnum(), -len(one), one)))


def _any_of(literals: tuple[str, ...], search: Search, exact: bool) -> Search:
    wanted = literals if exact else tuple(one.casefold() for one in literals)

    def test(text: str) -> Any:
        folded = text if exact else text.casefold()
        for literal in wanted:
            if literal in folded:
                return search(text)
        return None

    return test
