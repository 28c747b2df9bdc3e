"""A station whose guide can be asked: the search index is brought up to date as the keeper does it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from epg_service.domain.terms import terms_of
from epg_service.domain.wishes import Wanted, Wish
from epg_service.store.search import Hit, Search
from epg_service.wiring import for_keeper
from tests.epg.guidekit import DAY, HOUR, NOON, Show, Station

FOREVER = (1 << 32) - 1


class Asked(Station):
    """A station with its search."""

    def search(self) -> Search:
        return Search(self.paths.search, self.paths.database, damaged=self.paths.search_damaged)

    def index(self) -> None:
        work = for_keeper.indexing(self.config, self.it).work
        while work(0.5):
            pass

    def find(self, text: str, **filters: object) -> list[Hit]:
        return self.search().find(wish(text, **filters), after=None, limit=1000)

    def found(self, text: str, **filters: object) -> list[str]:
        """The titles of what is found, in order."""
        return [hit.listing.title for hit in self.find(text, **filters)]


def wish(
    text: str,
    *,
    start: int = 0,
    end: int = FOREVER,
    channels: list[int] | None = None,
    category: str | None = None,
    new: bool | None = None,
    premiere: bool | None = None,
) -> Wish:
    return Wish(terms_of(text), Wanted((), category, new, premiere), start, end, channels)


def shows() -> list[Show]:
    """A small guide with everything that search and filters look at."""
    return [
        Show("one", NOON, NOON + HOUR, "The Evening News", "<category>News</category><new/>"),
        Show("one", NOON + HOUR, NOON + 2 * HOUR, "Café Noir", "<sub-title>Night at the news desk</sub-title>"
             "<credits><director>Zoë Lang</director><actor>Ada Stone</actor></credits>"
             "<category>Film</category><premiere/>"),
        Show("one", NOON + 2 * HOUR, NOON + 3 * HOUR, "Stone Age", "<desc>About tools of flint</desc>"
             "<category>Documentary</category>"),
        Show("two", NOON, NOON + 2 * HOUR, "News", "<category>news</category>"),
        Show("two", NOON + 2 * HOUR, NOON + 3 * HOUR, "Quiz", "<credits><presenter>Ada Stone</presenter></credits>"),
        Show("two", NOON + DAY, NOON + DAY + HOUR, "News", "<category>News</category>"),
        Show("three", NOON, NOON + HOUR, "日本語 ニュース", "<sub-title>Ρόδος &amp; Straße</sub-title>"),
    ]  # fmt: skip


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(tmp_path, settings={"retention": {"days": 30}})
    yield made
    made.close()
