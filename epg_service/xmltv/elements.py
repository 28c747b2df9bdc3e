"""One small element at a time: a light tree by expat, and the proof that bytes are one well-formed element."""

import pyexpat
import re
from collections.abc import Iterator

MAX_DEPTH = 32
CAPPED_BYTES = 64 * 1024
MAX_JOINED_CHARS = 16 * 1024
_INSIDE = re.compile(r"""<(?:[^"'>]|"[^"]*"|'[^']*')*+(?<!/)>(.*)</[^<]*\Z""", re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n]+")


class Node:
    """An element: name, attributes, and its content in order, texts and nodes mixed."""

    __slots__ = ("attributes", "content", "name")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.content: list[str | Node] = []

    def nodes(self) -> Iterator["Node"]:
        """The child elements, in order."""
        return (part for part in self.content if isinstance(part, Node))

    def text(self) -> str:
        """All text inside, that of children included, blanks folded to one and trimmed."""
        content = self.content
        if len(content) == 1 and isinstance(content[0], str):
            return folded(content[0])
        return folded(self.whole_text())

    def whole_text(self) -> str:
        """All text inside, as it stands."""
        return "".join(part if isinstance(part, str) else part.whole_text() for part in self.content)

    def own_text(self) -> str:
        """The text beside the children, blanks folded: the name in `<actor>Name<image>…</image></actor>`."""
        return folded("".join(part for part in self.content if isinstance(part, str)))


def folded(text: str) -> str:
    """XML blanks folded to one and trimmed; other white space (no-break space …) is text."""
    return _BLANKS.sub(" ", text).strip(" ")


def tree(raw: bytes) -> Node:
    """The element as a tree; deeper than 32 levels, markup is dropped and its text kept.

    Raises ValueError when the bytes are not one well-formed element.
    """
    root = Node("", {})
    stack = [root]
    depth = 0
    parser = pyexpat.ParserCreate("utf-8")
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth <= MAX_DEPTH:
            node = Node(name, attributes)
            stack[-1].content.append(node)
            stack.append(node)

    def end(_: str) -> None:
        nonlocal depth
        if depth <= MAX_DEPTH:
            stack.pop()
        depth -= 1

    def text(data: str) -> None:
        stack[-1].content.append(data)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(raw, True)
    except pyexpat.ExpatError as reason:
        raise ValueError(str(reason)) from None
    return next(root.nodes())


def too_deep(raw: bytes) -> bool:
    """Whether elements inside a well-formed one are nested deeper than they are ever looked into."""
    if raw.count(b"</") < MAX_DEPTH:
        return False
    depth = 0
    parser = pyexpat.ParserCreate("utf-8")

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise _Deep

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(raw, True)
    except _Deep:
        return True
    return False


class _Deep(Exception):
    """Deep enough to know."""


def proven(raw: bytes) -> tuple[str, dict[str, str]] | None:
    """Name and attributes of the root when the bytes are one well-formed element, else None."""
    parser = pyexpat.ParserCreate("utf-8")
    roots: list[tuple[str, dict[str, str]]] = []

    def first(name: str, attributes: dict[str, str]) -> None:
        roots.append((name, attributes))
        parser.StartElementHandler = None

    parser.StartElementHandler = first
    try:
        parser.Parse(raw, True)
    except pyexpat.ExpatError:
        return None
    return roots[0]


def open_count(part: bytes, name: str) -> int:
    """How many elements called `name` are open at the end of the beginning of an element."""
    parser = pyexpat.ParserCreate("utf-8")
    count = 0

    def start(found: str, _: dict[str, str]) -> None:
        nonlocal count
        count += found == name

    def end(found: str) -> None:
        nonlocal count
        count -= found == name

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(part, False)
    return count


def capped(raw: bytes) -> bytes | None:
    """The beginning of an element that is too large to be kept: its text is cut and marked by "…", its tags are closed.

    None when the first 64 KiB do not end in a text, or are not well formed.
    """
    begin = raw[:CAPPED_BYTES]
    if begin.rfind(b"<") >= begin.rfind(b">"):
        return None
    reference = begin.rfind(b"&", len(begin) - 40)
    if reference > begin.rfind(b";"):
        begin = begin[:reference]
    begin = begin.decode("utf-8", "ignore").encode()
    open_names: list[str] = []
    parser = pyexpat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda name, _: open_names.append(name)
    parser.EndElementHandler = lambda _: open_names.pop()
    try:
        parser.Parse(begin, False)
    except pyexpat.ExpatError:
        return None
    whole = begin + "…".encode() + "".join(f"</{name}>" for name in reversed(open_names)).encode()
    return whole if proven(whole) else None


def joined(first: str, second: str) -> str:
    """The first of two elements of one name, with the content of both; up to 16 Ki characters, then as it was."""
    mine, more = _INSIDE.fullmatch(first), _INSIDE.fullmatch(second)
    if more is None or len(first) + len(second) > MAX_JOINED_CHARS:
        return first
    if mine is None:
        return second
    return first if more[1] in mine[1] else first[: mine.end(1)] + more[1] + first[mine.end(1) :]
