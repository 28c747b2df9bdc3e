"""The quick readers of elements say what the tree says: fields of lists, pieces of the search index."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain.days import IN_FORM
from epg_service.domain.tags import NEW, PREMIERE
from epg_service.xmltv import fields as lists
from epg_service.xmltv import form, indexed
from epg_service.xmltv.details import details
from epg_service.xmltv.elements import folded

CHILDREN = [
    "<title>News &amp; more</title>",
    '<title lang="de">Nachrichten\n   um acht</title>',
    "<title/>",
    "<title></title>",
    "<sub-title>Part 1</sub-title>",
    '<sub-title lang="a>b">Part &#50;</sub-title>',
    "<desc>Long &lt;text&gt; with \u00e9 and \u4e2d\u6587</desc>",
    "<desc>&#x26;amp;</desc>",
    "<credits><director>D One</director><actor role='x'>A One</actor><actor>A Two</actor></credits>",
    "<credits>\n <actor>A One</actor>\n <guest>G</guest>\n</credits>",
    "<credits><actor>A Three<image>https://a.example/3.png</image></actor></credits>",
    "<credits></credits>",
    "<date>2019</date>",
    "<category>Film</category>",
    '<category lang="en"> Crime  story </category>',
    "<category>Film</category>",
    "<category/>",
    '<icon src="https://a.example/1.png" width="1"/>',
    '<icon src="https://a.example/?a=1&amp;b=2"></icon>',
    "<icon/>",
    '<episode-num system="xmltv_ns">0.4.</episode-num>',
    "<episode-num>S01E05</episode-num>",
    '<episode-num system="onscreen"> S01E06 </episode-num>',
    '<rating system="FSK"><value>12</value><icon src="https://a.example/fsk.png"/></rating>',
    "<rating>16</rating>",
    "<rating></rating>",
    "<star-rating><value>3/5</value></star-rating>",
    "<video><present>yes</present></video>",
    "<premiere/>",
    "<premiere>First time</premiere>",
    "<new/>",
    "<new></new>",
    "<previously-shown start='20200101'/>",
    "<image>https://a.example/poster.jpg</image>",
    '<subtitles type="teletext"><language>en</language></subtitles>',
    "<!-- <title>no title</title> -->",
    "<desc><![CDATA[Raw <b>text</b>]]></desc>",
    "<?pi <new/> ?>",
    "<unknown a='1'>what</unknown>",
]
NESTED = [
    "<unknown><rating><value>9</value></rating></unknown>",
    "<title>Mixed <b>markup</b></title>",
    "<credits><actor><i>Slanted</i></actor></credits>",
    "stray text",
]
START = '<programme start="20260310120000 +0000" channel="a.example"'
BLANKS = st.sampled_from(["", "\n    ", " "])


def elements(children: list[str]) -> st.SearchStrategy[bytes]:
    def joined(parts: list[tuple[str, str]]) -> bytes:
        return f"{START}>{''.join(blank + child for blank, child in parts)}</programme>".encode()

    return st.lists(st.tuples(BLANKS, st.sampled_from(children)), max_size=14).map(joined)


@settings(max_examples=400, deadline=None)
@given(elements(CHILDREN + NESTED))
def test_the_fields_of_lists_are_those_of_the_tree(raw: bytes) -> None:
    told = details(raw)
    found = lists.fields(raw)
    assert (found.subtitle, found.description, found.category, found.episode_num) == (
        told.subtitle,
        told.description,
        told.category,
        told.episode_num,
    )
    assert (found.rating, found.actors, found.directors, found.icon_url) == (
        told.rating,
        told.actors,
        told.directors,
        told.icon_url,
    )
    assert (found.new, found.premiere) == (told.new, told.premiere is not None)
    assert set(found.categories) == {one.value for one in told.categories if one.value}


IN_ORDER = list(
    enumerate(
        (
            b"<title>U</title>",
            b'<sub-title lang="en">S &amp; s</sub-title><sub-title>R</sub-title>',
            b"<desc>about credits, category, premiere, new</desc>",
            b"<credits>\n<director>D</director> <actor role='x'>A</actor></credits>",
            b"<date>2026</date>",
            b"<category lang='en'>News</category>",
            b"<category>More</category>",
            b"<keyword>new</keyword>",
            b'<icon src="p"/>',
            b"<country>X</country>",
            b"<previously-shown/>",
            b"<premiere>first</premiere>",
            b"<last-chance/>",
            b"<new/>",
            b"<rating><value>6</value></rating>",
        )
    )
)


def read(said: indexed.Said) -> tuple[list[str], set[str], set[str], tuple[str, ...], int]:
    """What the index reads out of pieces: words of titles, sub-titles, people, categories, flags."""
    titles, sub_titles = indexed.titles(said[0])
    people, categories = indexed.crew(said[1])

    def lines(text: str) -> set[str]:
        return {folded(line) for line in text.split("\n")} - {""}

    return (
        indexed.words(titles).split(),
        lines(indexed.words(sub_titles)),
        lines(indexed.readable([indexed.names(people)])[0]),
        indexed.categories(categories),
        said[2],
    )


@settings(max_examples=400, deadline=None)
@given(elements(CHILDREN))
def test_the_pieces_of_the_index_say_what_the_tree_says(raw: bytes) -> None:
    told = details(raw)
    titles, sub_titles, people, categories, flags = read(indexed.said(raw))

    def said(values: list[str]) -> set[str]:
        return {line for value in values for line in value.split("\n") if line}

    assert titles == " ".join(one.value for one in told.titles).split()
    assert sub_titles == said([one.value for one in told.sub_titles])
    assert people == said([one.name for one in told.credits])
    assert set(categories) == {one.value for one in told.categories} - {""}
    assert flags == NEW * told.new + PREMIERE * (told.premiere is not None)
    descriptions = {folded(line) for line in indexed.words(indexed.description(raw)).split("\n")} - {""}
    assert descriptions == said([one.value for one in told.descs])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(IN_ORDER), min_size=1, unique=True).map(sorted))
def test_of_an_element_in_form_the_pieces_are_found_by_its_tags(children: list[tuple[int, bytes]]) -> None:
    raw = b'<programme start="1" channel="c"><title lang=\'a>b\'>T</title>' + b"\n ".join(text for _, text in children)
    raw += b"\n</programme>"
    assert form.flags_of([raw])[0] & IN_FORM
    assert read(indexed.said_in_form(raw)) == read(indexed.said(raw))


@pytest.mark.parametrize(
    "raw", [b"<programme>", b"<programme><title>a</programme>", b""], ids=["open", "crossed", "empty"]
)
def test_what_is_no_element_is_refused_as_the_tree_refuses_it(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        lists.fields(raw)


def test_a_usual_element_is_read_without_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(raw: bytes) -> None:
        raise AssertionError(raw)

    monkeypatch.setattr(lists, "details", never)
    monkeypatch.setattr(indexed, "details", never)
    usual = [child for child in CHILDREN if not any(odd in child for odd in ("<!", "<?", "Three"))]
    raw = f"{START}>{''.join(usual)}</programme>".encode()
    assert lists.fields(raw).actors == "A One, A Two"
    assert indexed.words(indexed.titles(indexed.said(raw)[0])[0]).split() == [
        "News",
        "&",
        "more",
        "Nachrichten",
        "um",
        "acht",
    ]
