"""What the views of rules and of filters have in common: what they are handed, and the shapes of their requests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

from flask import request
from pydantic import AfterValidator, Field

from servicekit.errors import Invalid, NotFound
from servicekit.web import PageQuery, Shape, page_of
from stream_service.api import params, shapes
from stream_service.domain.calls import Call
from stream_service.domain.rules import Action, Attached, Domain, Filter, Rule
from stream_service.rules.exchange import Plan

Row = TypeVar("Row", Rule, Filter)


class Ask(Protocol):
    """Has the keeper do what walks a playlist."""

    def __call__(self, kind: str, params: Mapping[str, object], /) -> dict[str, Any]: ...


class Rows(Protocol[Row]):
    """What the views ask of a store of rules or of filters."""

    def all(self, *, domain: Domain | None = None) -> list[Row]: ...
    def get(self, row_id: int, /) -> Row: ...
    def create(self, values: Mapping[str, Any]) -> Row: ...
    def update(self, row_id: int, values: Mapping[str, Any], /) -> Row: ...
    def delete(self, row_id: int, /) -> None: ...
    def reorder(self, ids: Sequence[int]) -> list[Row]: ...
    def put_all(self, items: Sequence[tuple[int | None, Mapping[str, Any]]], *, gone: Iterable[int]) -> None: ...


class Filters(Rows[Filter], Protocol):
    """The store of filters also knows where they are attached."""

    def attached(self, lineup: str) -> list[Attached]: ...
    def attach(self, lineup: str, wanted: Sequence[tuple[int, Action | None, bool]]) -> list[Attached]: ...
    def lineups_of(self, filter_id: int) -> list[str]: ...


class Rulebook(Protocol):
    """What the views are handed; `wiring` builds it."""

    @property
    def rules(self) -> Rows[Rule]: ...
    @property
    def filters(self) -> Filters: ...
    @property
    def source_names(self) -> Callable[[], Mapping[int, str]]: ...
    @property
    def shipped_rules(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def shipped_filters(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def ask(self) -> Ask: ...
    @property
    def call(self) -> Call: ...


# ---- requests --------------------------------------------------------------------------------------------------------


def _lines(text: str) -> str:
    if any(ord(c) < 32 and c not in "\n\r\t" for c in text):
        raise ValueError("no control characters but line breaks and tabs")
    return text


Expression = Annotated[str, Field(max_length=20_000), AfterValidator(_lines)]
"""Longer than the language allows, so that it can say so in its own words."""
Description = Annotated[str, Field(max_length=1_000), AfterValidator(_lines)]
Lineup = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Ids = Annotated[list[params.Number], Field(min_length=1, max_length=2_000)]
ShippedKey = Annotated[str, Field(pattern=r"^[a-z0-9-]{0,40}$")]


class RowsQuery(PageQuery):
    domain: Domain | None = Field(None, description="Only those of this domain.")


class Order(Shape):
    ids: Ids = Field(description="They stand in this order then, in the places that they hold now; others stay.")


class Restored(Shape):
    keys: list[ShippedKey] | None = Field(None, description="Which of the shipped ones; all when left out.")


class ImportQuery(Shape):
    mode: Literal["merge", "replace"] = Field("merge", description="replace: what the document does not hold goes.")
    apply: bool = Field(True, description="false: only say what would be done.")


class Tried(Shape):
    """What is tried out: an expression, or a rule or filter that is written down."""

    expression: Expression | None = None
    id: params.Number | None = Field(None, description="Of a rule or filter, instead of an expression.")
    domain: Domain = "stream"
    source_id: params.Number | None = Field(None, description="Only entries of this source.")
    lineup: Lineup | None = Field(None, description="Only entries of this lineup, with its rules.")
    sample: int = Field(20, ge=0, le=100, description="So many entries are shown.")
    raw: bool = Field(False, description="Entries as their lists have them, without the rules before it.")
    records: list[dict[str, Annotated[str, Field(max_length=4_000)]]] | None = Field(
        None, max_length=100, description="Records of your own instead of entries: field name -> text."
    )


def asked_for(body: Tried, table: str) -> dict[str, object]:
    """The parameters of the errand."""
    if (body.expression is None) == (body.id is None):
        raise Invalid("send either an expression or the id of one that is written down")
    return {"table": table, **body.model_dump()}


def sent(body: Shape, *, may_be_none: Sequence[str] = ()) -> dict[str, Any]:
    """The values that a request names; null where that means something."""
    found = body.model_dump(exclude_unset=True)
    return {key: value for key, value in found.items() if value is not None or key in may_be_none}


def cut(rows: Sequence[Row], query: PageQuery, shown: Callable[[Row], object]) -> dict[str, object]:
    """A page of a whole list, each row as `shown` shows it."""
    some, following = page_of(rows, query, most=shapes.MOST_ITEMS)
    return shapes.page([shown(row) for row in some], following)  # type: ignore[arg-type]


def shipped(rows: Sequence[Mapping[str, Any]], body: Restored, noun: str) -> list[Mapping[str, Any]]:
    """Those of the shipped ones that are asked for; raises `NotFound` for a key that none came under."""
    wanted = [one for one in rows if body.keys is None or one["shipped"] in body.keys]
    if missing := set(body.keys or ()) - {one["shipped"] for one in wanted}:
        raise NotFound(f"no {noun} came with the program under the key {min(missing)!r}")
    return wanted


def carried_out(it: Rulebook, rows: "Rows[Rule] | Rows[Filter]", plan: Plan, *, apply: bool) -> dict[str, object]:
    """What a plan does, done when `apply` says so."""
    if apply:
        it.call(rows.put_all, plan.items, gone=plan.gone)
    return {"applied": apply, **plan.counts()}


def attachment() -> dict[str, str]:
    """Headers of a document that is to be saved."""
    name = request.path.strip("/").split("/")[-2]
    return {"Content-Disposition": f'attachment; filename="aerial-{name}.json"'}
