"""Circuit breakers of providers' hosts and streams: list, look, force, reset."""

from typing import Literal, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.web import Shape, json_answer


class Circuits(Protocol):
    """What the views ask of the relay's circuit breakers."""

    def items(self) -> list[dict[str, object]]:
        """All of them by name."""
        ...

    def shown(self, name: str) -> dict[str, object]:
        """One; raises `NotFound`."""
        ...

    def force(self, name: str, state: str) -> dict[str, object]:
        """Set its state; raises `NotFound`."""
        ...

    def reset(self, name: str) -> dict[str, object]:
        """As new; raises `NotFound`."""
        ...


class _BreakerPath(Shape):
    name: str = Field(max_length=300, description="A host (`example.org:8080`) or a stream (`stream-12`).")


class _Forced(Shape):
    state: Literal["open", "closed", "half_open"] = Field(
        description="open: nobody asks until it is reset; half_open: one try is let through; closed: as new."
    )


def blueprint(circuits: Circuits) -> APIBlueprint:
    """`/api/v1/circuit-breakers`."""
    views = APIBlueprint("breakers", __name__, url_prefix="/api/v1/circuit-breakers")

    @views.get("", summary="Circuit breakers: hosts and streams that were asked, and how they did")
    def breakers() -> Response:
        return json_answer({"items": circuits.items(), "next": None})

    @views.get("/services/<name>", summary="One circuit breaker")
    def breaker(path: _BreakerPath) -> Response:
        return json_answer(circuits.shown(path.name))

    @views.post("/services/<name>/force", summary="Set a circuit breaker's state")
    def force(path: _BreakerPath, body: _Forced) -> Response:
        return json_answer(circuits.force(path.name, body.state))

    @views.post("/services/<name>/reset", summary="Forget what is held against it")
    def reset(path: _BreakerPath) -> Response:
        return json_answer(circuits.reset(path.name))

    return views
