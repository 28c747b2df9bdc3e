"""What can be told of a pattern without running it: literals that every match contains, and how dear it may get.

The reader knows the plain part of the syntax. Where it meets anything else it claims nothing: no literal, and a cost
without a bound.
"""

import math
import re
from dataclasses import dataclass, field

_DEEPEST = 40
_BIGGEST = 10_000
_STEPS = 200_000
"""What a search may cost before it is put under a time limit; about a millisecond."""
_FREE_STEPS = 5_000
"""What a search may cost before it is metered; some 20 microseconds."""
_MOST_REPEATS = 8
_FEW = 3
_SURE = 2
"""Letters of a literal that is worth looking for."""
_OPTIONS = 8
"""Short repeats and alternatives of one pattern, each of which doubles what it may cost, until it counts as wild."""
_COUNTED = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_CALL = re.compile(r"\(\?(?:R|[0-9]+|&\w+|P>\w+)\)")
_SIZED = re.compile(r"\\.|[()]|\{([0-9]+)[^}]*\}|.", re.DOTALL)
_SIMPLE_GROUP = re.compile(r"\?:|\?P?<[A-Za-z_]\w*>")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 :-_/,;=%@'\"<>&~!`#")
_ESCAPED_LITERALS = frozenset(".+*?()[]{}|^$\\/:-_ &#~!,'\"@%=;<>")
_CLASSES = frozenset("dDwWsSbBAZ")


@dataclass(frozen=True, slots=True)
class Shape:
    """`literals`: every match contains one of them, in some case (none known when empty); `sure`: all of these."""

    literals: tuple[str, ...] = ()
    sure: tuple[str, ...] = ()
    wild: bool = False
    repeats: int = 0
    ignores_case: bool = False
    too_deep: bool = False
    too_big: bool = False
    calls_itself: bool = False

    @property
    def costs_nothing(self) -> bool:
        """Linear at worst, in the length of the text."""
        return not self.wild and self.repeats == 0

    @property
    def longest_plain(self) -> int:
        """Length of a text up to which a search needs no time limit."""
        return self._longest(_STEPS)

    @property
    def longest_free(self) -> int:
        """Length of a text up to which a search costs so little that nobody need count it."""
        return self._longest(_FREE_STEPS)

    def _longest(self, steps: int) -> int:
        """The worst case of k repeats that do not nest is n^(k+1) / k! steps."""
        if self.wild or self.repeats > _MOST_REPEATS:
            return -1
        if self.repeats == 0:
            return 1 << 30
        return int((steps * math.factorial(self.repeats)) ** (1 / (self.repeats + 1)))


@dataclass(slots=True)
class _Level:
    """A group that is being read. `best` is the longest literal set of the branch so far, `sure` are all its runs."""

    best: tuple[str, ...] = ()
    run: str = ""
    branches: list[tuple[str, ...]] = field(default_factory=list)
    repeats: int = 0
    sure: list[str] = field(default_factory=list)


class _Strange(Exception):
    """Syntax that this reader does not know."""


def shape_of(pattern: str) -> Shape:
    """The shape of a pattern, valid or not."""
    depth, deepest = 0, 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        return Shape(wild=True, too_deep=True)
    if _counted_size(pattern) > _BIGGEST:
        return Shape(wild=True, too_big=True)
    if _CALL.search(_ESCAPED.sub("", pattern)):
        return Shape(wild=True, calls_itself=True)
    try:
        return _Reading(pattern).shape()
    except _Strange:
        return Shape(wild=True)


def _counted_size(pattern: str) -> int:
    """How long the pattern gets when counted repeats are written out, as its library does; a bound, for any syntax."""
    totals, last = [0], 0
    for found in _SIZED.finditer(pattern):
        if found[0] == "(":
            totals.append(0)
        elif found[0] == ")":
            last = totals.pop() if len(totals) > 1 else 0
            totals[-1] += last
        elif found[1]:
            times = min(int(found[1][:9]), _BIGGEST + 1)
            totals[-1] += last * max(0, times - 1)
            last *= max(1, times)
        else:
            totals[-1] += 1
            last = 1
    return sum(totals)


class _Reading:
    """Reads a pattern left to right; groups on a stack of its own."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._levels = [_Level()]
        self._wild = False
        self._options = 0
        self._ignores_case = pattern.startswith("(?i)")
        if self._ignores_case:
            self._at = 4

    def shape(self) -> Shape:
        while self._at < len(self._text):
            self._step()
        if len(self._levels) != 1:
            raise _Strange
        literals, repeats = self._closed(self._levels[0])
        known = literals if all(len(one) >= 2 for one in literals) else ()
        sure = () if self._levels[0].branches else tuple(one for one in self._levels[0].sure if len(one) >= _SURE)
        return Shape(known, sure, self._wild or self._options > _OPTIONS, repeats, self._ignores_case)

    def _step(self) -> None:
        char = self._text[self._at]
        level = self._levels[-1]
        self._at += 1
        if char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            self._end_run(level)
            level.branches.append(level.best)
            level.best = ()
        elif char in "^$":
            self._end_run(level)
        elif char in "*+?{":
            raise _Strange
        else:
            self._atom(char, level)

    def _atom(self, char: str, level: _Level) -> None:
        literal = char if char in _PLAIN else ""
        if char == "\\":
            literal = self._escape()
        elif char == "[":
            self._skip_set()
        elif char != "." and not literal and char.isascii():
            raise _Strange
        least, most = self._repeat()
        if literal and (least, most) == (1, 1):
            level.run += literal
            return
        if literal and least >= 1:
            level.run += literal
        self._end_run(level)
        level.repeats += self._variable(least, most)

    def _escape(self) -> str:
        """The literal that an escape stands for; empty for a class."""
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char in _ESCAPED_LITERALS and char:
            return char
        if char and char in _CLASSES:
            return ""
        raise _Strange

    def _skip_set(self) -> None:
        at = self._at + (self._text[self._at : self._at + 1] == "^")
        at += self._text[at : at + 1] == "]"
        while at < len(self._text) and self._text[at] != "]":
            if self._text[at] == "[" or self._text[at : at + 2] in ("--", "&&", "||", "~~"):
                raise _Strange
            at += 2 if self._text[at] == "\\" else 1
        if at >= len(self._text):
            raise _Strange
        self._at = at + 1

    def _repeat(self) -> tuple[int, int | None]:
        """How often what was read may stand; a `?` or `+` behind it changes no bound."""
        char = self._text[self._at : self._at + 1]
        bounds: tuple[int, int | None] = (1, 1)
        if char and char in "*+?":
            bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            self._at += 1
        elif char == "{":
            found = _COUNTED.match(self._text, self._at)
            if found is None or not (found[1] or found[3]):
                raise _Strange
            least = int(found[1][:9] or 0)
            bounds = (least, (int(found[3][:9]) if found[3] else None) if found[2] else least)
            self._at = found.end()
        else:
            return bounds
        if self._text[self._at : self._at + 1] in ("?", "+"):
            self._at += 1
        return bounds

    def _variable(self, least: int, most: int | None) -> int:
        """1 for a repeat whose length is open; a short one counts as an option."""
        if most is None or most - least > _FEW:
            return 1
        self._options += most > least
        return 0

    # ---- groups ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._text[self._at : self._at + 1] == "?":
            found = _SIMPLE_GROUP.match(self._text, self._at)
            if found is None:
                raise _Strange
            self._at = found.end()
        self._end_run(self._levels[-1])
        self._levels.append(_Level())

    def _close(self) -> None:
        if len(self._levels) == 1:
            raise _Strange
        inner = self._levels.pop()
        outer = self._levels[-1]
        branched = bool(inner.branches)
        self._options += len(inner.branches)
        literals, repeats = self._closed(inner)
        least, most = self._repeat()
        if (least, most) != (1, 1) and most != 0 and (repeats or branched) and (most is None or most > 1):
            self._wild = True  # a repeat of what can itself match in several ways
        outer.repeats += repeats + self._variable(least, most)
        if least >= 1:
            self._keep(outer, literals)
            outer.sure += [] if branched else inner.sure

    def _closed(self, level: _Level) -> tuple[tuple[str, ...], int]:
        """The literals of a whole group: with branches, one set for all of them, or none."""
        self._end_run(level)
        branches = [*level.branches, level.best]
        if not all(branches):
            return (), level.repeats
        return tuple(dict.fromkeys(one for branch in branches for one in branch)), level.repeats

    def _end_run(self, level: _Level) -> None:
        if level.run:
            self._keep(level, (level.run,))
            level.sure.append(level.run)
            level.run = ""

    @staticmethod
    def _keep(level: _Level, literals: tuple[str, ...]) -> None:
        """The set whose shortest literal is longest says most; large sets cost more than they save."""
        if not literals or len(literals) > 8:
            return
        if not level.best or min(map(len, literals)) > min(map(len, level.best)):
            level.best = literals
