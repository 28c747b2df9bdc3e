"""What refreshes leave behind, cleaned up in small steps: by the keeper, between refreshes."""

from typing import Protocol


class ListStore(Protocol):
    """The lists; see `store.lists`."""

    def sweep(self, source_id: int) -> int: ...
    def purge_vanished(self, before: int) -> int: ...
    def purge_source(self, source_id: int) -> None: ...


class TitleStore(Protocol):
    """The library; see `store.library_intake`."""

    def apply(self, source_id: int) -> None: ...
    def purge_vanished(self, before: int) -> int: ...
    def purge_source(self, source_id: int) -> None: ...


class TypedStore(Protocol):
    """What was typed; see `store.manual`."""

    def purge(self, source_id: int) -> None: ...


class Cleaning:
    """The lists, the library and what was typed, cleaned together."""

    def __init__(self, *, lists: ListStore, titles: TitleStore, typed: TypedStore) -> None:
        self._lists = lists
        self._titles = titles
        self._typed = typed

    def sweep(self, source_id: int) -> int:
        """Go on where a refresh that was killed stopped."""
        self._titles.apply(source_id)
        return self._lists.sweep(source_id)

    def purge_vanished(self, before: int) -> int:
        """Forget streams and titles that are listed no more since before that moment."""
        return self._lists.purge_vanished(before) + self._titles.purge_vanished(before)

    def purge_source(self, source_id: int) -> None:
        """Delete everything of a source that was deleted; the source's own row goes last."""
        self._titles.purge_source(source_id)
        self._typed.purge(source_id)
        self._lists.purge_source(source_id)
