"""Full-text search over the store: what is found, in what order, and what hostile queries do."""

import pytest

from epg_service.store import search as asking
from servicekit.errors import Unavailable
from tests.epg.guidekit import DAY, HOUR, NOON, Show, guide_of, hourly
from tests.epg.querykit import Asked, shows, station, wish  # noqa: F401 (a fixture)

HOSTILE = [
    '"', '""', "*", "news*", "NEAR(news evening)", "news NOT evening", "title:news", "{title}: news", "^news",
    "news OR 1", "news AND", "(news", "news)", "-news", "+news", "news^2", "'; DROP TABLE programs; --",
    "news' OR '1'='1", "%", "_",
    "\\", "news\x00", "\U0001f600", "a" * 200, "NEAR", "AND OR NOT",
    "words", "rank", "rank:1", "x" + '"' * 50, "ニュース",
]  # fmt: skip


@pytest.fixture
def guide(station: Asked) -> Asked:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    return station


def test_titles_come_before_sub_titles_and_these_before_people(guide: Asked) -> None:
    assert guide.found("news") == ["News", "News", "The Evening News", "Café Noir"]
    assert [hit.matched for hit in guide.find("news")] == ["title", "title", "title", "sub-title"]
    assert [(hit.listing.title, hit.matched) for hit in guide.find("stone")] == [
        ("Stone Age", "title"), ("Quiz", "people"), ("Café Noir", "people"),
    ]  # fmt: skip


def test_words_of_several_texts_come_behind_those_of_one(station: Asked) -> None:  # noqa: F811
    station.take(guide_of([*shows(), Show("four", NOON, NOON + HOUR, "Noir at the Desk")]))
    station.index()
    assert [(hit.listing.title, hit.matched) for hit in station.find("noir desk")] == [
        ("Noir at the Desk", "title"), ("Café Noir", "several"),
    ]  # fmt: skip
    assert [(hit.listing.title, hit.matched) for hit in station.find("ada quiz")] == [("Quiz", "several")]
    assert station.found("cafe stone desk") == ["Café Noir"]
    assert station.found('"cafe stone"') == []
    assert station.found("quiz desk") == []


def test_a_text_that_says_little_else_comes_first(station: Asked) -> None:  # noqa: F811
    at = [NOON + hour * HOUR for hour in range(5)]
    crowd = "<credits>" + "".join(f"<actor>Actor {n}</actor>" for n in range(20)) + "</credits>"
    listed = [
        Show("one", at[0], at[1], "A long talk about chess and more"),
        Show("one", at[1], at[2], "Chess now"),
        Show("one", at[2], at[3], "Chess", crowd),
        Show("one", at[3], at[4], "Quiz", "<sub-title>Chess</sub-title>"),
    ]
    station.take(guide_of(listed))
    station.index()
    assert station.found("chess") == ["Chess", "Chess now", "A long talk about chess and more", "Quiz"]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("evening news", ["The Evening News"]),
        ("news evening", ["The Evening News"]),
        ('"news evening"', []),
        ('"evening news"', ["The Evening News"]),
        ("even", ["The Evening News"]),
        ("even news", []),
        ("CAFE", ["Café Noir"]),
        ("zoe lang", ["Café Noir"]),
        ("ροδος", ["日本語 ニュース"]),
        ("ΡΟΔΟΣ strasse", ["日本語 ニュース"]),
        ("ニュース", ["日本語 ニュース"]),
        ("flint", []),
        ("nothing", []),
    ],
)
def test_words_are_found_as_people_type_them(guide: Asked, query: str, titles: list[str]) -> None:
    assert guide.found(query) == titles


def test_filters_narrow_the_search(guide: Asked) -> None:
    one, two = guide.channel_id("one"), guide.channel_id("two")
    assert guide.found("news", channels=[two]) == ["News", "News"]
    assert guide.found("news", channels=[one, two], end=NOON + HOUR) == ["News", "The Evening News"]
    assert guide.found("news", category="NEWS") == ["News", "News", "The Evening News"]
    assert guide.found("news", new=True) == ["The Evening News"]
    assert guide.found("news", new=False, category="news") == ["News", "News"]
    assert guide.found("noir", premiere=True) == ["Café Noir"]
    assert guide.found("noir", premiere=False) == []
    assert guide.found("news", channels=[]) == []


def test_what_runs_at_the_start_of_the_time_is_found_and_what_ended_is_not(guide: Asked) -> None:
    assert guide.found("news", start=NOON + HOUR + 60) == ["News", "News", "Café Noir"]
    assert guide.found("news", start=NOON + 2 * HOUR) == ["News"]
    assert guide.found("news", start=NOON + DAY + HOUR) == []


@pytest.mark.parametrize("query", HOSTILE)
def test_the_language_of_the_index_is_data_in_a_query(guide: Asked, query: str) -> None:
    try:
        found = guide.found(query)
    except Exception as error:  # noqa: BLE001 (only a refusal with a sentence is right)
        assert type(error).__name__ == "Invalid", error
    else:
        assert isinstance(found, list)
    assert len(guide.found("news")) == 4


def test_pages_walk_over_everything_exactly_once(station: Asked) -> None:  # noqa: F811
    station.take(guide_of([*shows(), *hourly("four", NOON, 60, "News"), *hourly("five", NOON, 60, "Other News")]))
    station.index()
    whole = [hit.listing.id for hit in station.find("news")]
    assert len(whole) == len(set(whole)) == 124
    for limit in (1, 2, 50):
        assert walked(station, "news", limit) == whole


def walked(station: Asked, text: str, limit: int) -> list[int]:  # noqa: F811
    """The ids of all pages."""
    found: list[int] = []
    after = None
    while page := station.search().find(wish(text), after=after, limit=limit):
        found += [hit.listing.id for hit in page]
        last = page[-1]
        after = (last.score, last.listing.start_s, last.listing.id)
    return found


def test_pages_go_on_from_one_kind_of_text_to_the_next(station: Asked) -> None:  # noqa: F811
    kinds = [
        "<desc>ada stone</desc>",
        "<sub-title>Ada Stone</sub-title>",
        "<credits><actor>Ada Stone</actor></credits>",
        "<sub-title>Ada</sub-title><desc>Stone, ada</desc>",
    ]
    listed = [
        Show("one", NOON + at * HOUR, NOON + (at + 1) * HOUR, ("Show", "Ada Stone", "Stone")[at % 3], kinds[at % 4])
        for at in range(36)
    ]
    with_descriptions = Asked(station.folder, settings={"search": {"descriptions": True}, "retention": {"days": 30}})
    with_descriptions.take(guide_of(listed))
    with_descriptions.index()
    hits = with_descriptions.find("ada stone")
    assert {hit.matched for hit in hits} == {"title", "sub-title", "people", "several", "description"}
    assert [hit.score for hit in hits] == sorted(hit.score for hit in hits)
    whole = [hit.listing.id for hit in hits]
    assert len(whole) == len(set(whole)) == 36
    for limit in (1, 2, 5, 36):
        assert walked(with_descriptions, "ada stone", limit) == whole


def serial(parts: list[str]) -> bytes:
    crew = "<credits><actor>Ada Stone</actor></credits>"
    return guide_of(
        Show("one", NOON + at * HOUR, NOON + (at + 1) * HOUR, "Serial", f"<sub-title>{part}</sub-title>{crew}")
        for at, part in enumerate(parts)
    )


def test_of_a_series_only_the_programmes_are_found_whose_own_sub_title_says_it(station: Asked) -> None:  # noqa: F811
    colours = ("red", "blue", "ada stone")
    parts = [f"Part {n}, the {colours[n % 3]} one" for n in range(80)]
    station.take(serial(parts))
    station.index()

    def found(text: str) -> list[tuple[str, int]]:
        return [(hit.matched, (hit.listing.start_s - NOON) // HOUR) for hit in station.find(text)]

    assert found("7 part") == [("sub-title", 7)]
    assert found("7 blue") == [("sub-title", 7)]
    assert found("7 red") == []
    assert found('"one part"') == []  # the end of one and the beginning of another
    assert found("serial 41") == [("several", 41)]
    assert found("serial 41 red") == []
    assert found("serial blue") == [("several", n) for n in range(1, 80, 3)]
    assert found("stone") == [
        *(("sub-title", n) for n in range(2, 80, 3)),
        *(("people", n) for n in range(80) if n % 3 != 2),
    ]
    assert found("serial ston")[0] == ("several", 0)
    station.take(serial(["Part 7, renamed" if n == 7 else part for n, part in enumerate(parts)]))
    station.index()
    assert found("7 blue") == []
    assert found("part 7") == [("sub-title", 7)]
    assert ("people", 7) in found("stone")


def test_shifts_hidden_channels_and_deleted_providers_show_at_once(guide: Asked) -> None:
    write = guide.it.connections.get().execute
    write("UPDATE channels SET shift_minutes = 30 WHERE name = 'two'")
    assert [hit.listing.start_s for hit in guide.find("quiz")] == [NOON + 2 * HOUR + 1800]
    assert guide.found("quiz", start=NOON + 3 * HOUR) == ["Quiz"]
    write("UPDATE channels SET hidden = 1 WHERE name = 'two'")
    assert guide.found("quiz") == []
    write("UPDATE channels SET hidden = 0")
    assert guide.found("quiz") == ["Quiz"]
    guide.it.providers.delete(1)
    assert guide.found("news") == []


def test_categories_are_counted_as_the_elements_say(guide: Asked) -> None:
    counted = {one.name: one.programs for one in guide.search().categories()}
    assert counted == {"News": 2, "Film": 1, "Documentary": 1, "news": 1}


def test_descriptions_are_searched_only_when_wanted(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    assert station.found("flint") == []
    with_descriptions = Asked(station.folder, settings={"search": {"descriptions": True}, "retention": {"days": 30}})
    with_descriptions.index()
    assert with_descriptions.found("flint") == ["Stone Age"]
    assert [hit.matched for hit in with_descriptions.find("flint")] == ["description"]
    with_descriptions.take(
        guide_of([*shows()[:2], Show("one", NOON + 2 * HOUR, NOON + 3 * HOUR, "Stone Age")]), force=True
    )
    with_descriptions.index()
    assert with_descriptions.found("flint") == []
    assert with_descriptions.found("tools") == []
    without = Asked(station.folder, settings={"retention": {"days": 30}})
    without.index()
    assert without.found("stone")[0] == "Stone Age"


def test_a_search_that_takes_too_long_ends_with_advice(guide: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SEARCH_LIMIT_S", 0.05)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    monkeypatch.setattr(asking, "_find", lambda *_: endless + " WHERE :match <> '' AND :limit > 0")
    with pytest.raises(Unavailable, match="too many programmes match"):
        guide.found("news")
