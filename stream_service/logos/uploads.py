"""Logos that people upload: drawn anew like all others, kept under an id for ever, replaced and deleted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from stream_service.domain.logos import Logo
from stream_service.logos.address import id_of
from stream_service.logos.drawing import Drawing
from stream_service.logos.shelf import Shelf

KIND = "logo-upload"
"""The errand by which the web process hands an upload to the keeper, which alone has it drawn."""


class Store(Protocol):
    """What uploads ask of the store; see `store.logos`."""

    def all(self) -> Sequence[Logo]: ...
    def get(self, logo_id: str) -> Logo: ...
    def put(self, logo_id: str, name: str, picture: str, *, width: int, height: int, size_bytes: int) -> Logo: ...


class Uploads:
    """The keeper's side of uploads. `changed`: lineups have to be built again."""

    def __init__(self, *, store: Store, shelf: Shelf, drawing: Drawing, changed: Callable[[], None]) -> None:
        self._store = store
        self._shelf = shelf
        self._drawing = drawing
        self._changed = changed

    def take(self, params: Mapping[str, Any]) -> dict[str, object]:
        """The errand: `upload` (the shelf's word for it), `name`, `id` ('' for a new logo).

        Raises `Invalid` (no picture), `NotFound` (no logo of that id).
        """
        data = self._shelf.fetch(str(params["upload"]))
        logo_id, name = str(params.get("id", "")), str(params.get("name", ""))
        if logo_id:
            before = self._store.get(logo_id)
            name = name or before.name
        else:
            logo_id = id_of(name, {one.id for one in self._store.all()})
        try:
            picture = self._drawing.redraw(data)
        finally:
            self._drawing.close()  # an idle child would keep its memory
        content = self._shelf.keep(picture.png)
        self._store.put(
            logo_id, name or logo_id, content,
            width=picture.width, height=picture.height, size_bytes=len(picture.png),
        )  # fmt: skip
        self._changed()
        return {"id": logo_id}
