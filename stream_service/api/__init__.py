"""Views by noun: parse the request, call one method, shape the answer.

`Collaborators` is all that views are handed; they import no store, no keeper and no relay. Whatever touches the
database or the disk goes through `call`, which keeps it off the loop that carries the streams.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from stream_service.domain.calls import Call
from stream_service.domain.model import ChannelTarget

if TYPE_CHECKING:
    from stream_service.lineups.publish import PublishedFiles
    from stream_service.lineups.rendered import RenderedPlaylists
    from stream_service.store.builds import Builds
    from stream_service.store.channels import Channels
    from stream_service.store.lineup_channels import LineupChannels
    from stream_service.store.lineups import Lineups
    from stream_service.store.runs import Runs
    from stream_service.store.sources import Sources


class Collaborators(Protocol):
    """What the views call; `wiring` builds it."""

    @property
    def sources(self) -> "Sources": ...
    @property
    def runs(self) -> "Runs": ...
    @property
    def channels(self) -> "Channels": ...
    @property
    def lineups(self) -> "Lineups": ...
    @property
    def lineup_channels(self) -> "LineupChannels": ...
    @property
    def builds(self) -> "Builds": ...
    @property
    def files(self) -> "PublishedFiles": ...
    @property
    def playlists(self) -> "RenderedPlaylists": ...
    @property
    def call(self) -> Call: ...
    @property
    def ask(self) -> Callable[[str, Mapping[str, object]], dict[str, Any]]:
        """Has the keeper do what walks a playlist or waits for another server: kind and parameters in, answer out."""
        ...

    @property
    def check_address(self) -> Callable[[str, str], None]:
        """Raises `Invalid` for an address that no source of that type may have."""
        ...

    @property
    def check_delivery(self) -> Callable[[str], None]:
        """Raises `Invalid` for a way of delivery that does not exist."""
        ...

    @property
    def check_condition(self) -> Callable[[str], object]:
        """Raises `Invalid` for an expression that is no condition on streams."""
        ...

    @property
    def target(self) -> Callable[[str], ChannelTarget | None]:
        """A channel as viewers are served, from memory."""
        ...

    @property
    def guide_imported(self) -> Callable[..., None]:
        """Notes for the keeper that the guide service has a new guide; the keys of panels' guides may be named."""
        ...

    @property
    def status(self) -> Callable[[], str]:
        """The service's state in a word, for the start page."""
        ...
