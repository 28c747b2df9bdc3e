"""XMLTV out: valid against the DTD whatever came in, and nothing of it lost that the DTD can say."""

import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from epg_service.domain.losses import Losses
from epg_service.xmltv import form, write
from epg_service.xmltv.details import details
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch
from epg_service.xmltv.times import Stamps

FIXTURE = Path(__file__).parent.parent / "fixtures" / "xmltv" / "everything.xml"
DTD_PLACES = (Path("/usr/share/xmltv/xmltv.dtd"), Path("/usr/local/share/xmltv/xmltv.dtd"))
START, STOP = 1_795_219_200, 1_795_222_800


def needed(what: str, found: object, package: str) -> None:
    """Skip by name on a person's machine, fail in CI."""
    if found:
        return
    said = f"{what} is missing (apt install {package})"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


@pytest.fixture(scope="module")
def dtd_path() -> Path:
    path = next((place for place in DTD_PLACES if place.exists()), None)
    needed("xmltv.dtd", path, "xmltv-util")
    assert path
    return path


@pytest.fixture(scope="module")
def valid(dtd_path: Path) -> Callable[[bytes], None]:
    """Fails with the DTD's own complaint."""
    dtd = etree.DTD(str(dtd_path))

    def check(document: bytes) -> None:
        assert dtd.validate(etree.fromstring(document)), dtd.error_log.last_error

    return check


def written(inner: str, attributes: str = "", *, as_it_came: bool = False) -> bytes:
    raw = f'<programme start="20261121000000" channel="x"{attributes}>{inner}</programme>'.encode()
    return write.programme(
        raw, start=START, stop=STOP, channel_id="c.1", title_fallback="No title", as_it_came=as_it_came
    )


def document(*programmes: bytes) -> bytes:
    channel = write.channel("c.1", [(None, "C")])
    return write.head("Aerial") + channel + b"".join(programmes) + write.tail()


def everything() -> bytes:
    items = iterparse(io.BytesIO(FIXTURE.read_bytes()), stamps=Stamps(), losses=Losses())
    return next(item.raws[0] for item in items if isinstance(item, Batch))


def block(monkeypatch: pytest.MonkeyPatch, *ways: str) -> None:
    never = form.re.compile(rb"(never)\Z(?=x)")
    for way in ways:
        monkeypatch.setattr(form, way, never if isinstance(getattr(form, way), form.re.Pattern) else lambda: never)


@pytest.fixture(params=["copied", "sorted", "rewritten"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The three ways of writing one programme."""
    block(monkeypatch, *{"copied": (), "sorted": ("_ready",), "rewritten": ("_ready", "_OPENING")}[request.param])
    return str(request.param)


def test_the_start_tag_carries_utc_and_the_new_id(way: str) -> None:
    head = written("<title>T</title>").split(b">")[0]
    assert head == b'  <programme start="20261121000000 +0000" stop="20261121010000 +0000" channel="c.1"'


def test_no_stop_leaves_the_attribute_out() -> None:
    raw = b"<programme><title>T</title></programme>"
    assert b"stop" not in write.programme(raw, start=START, stop=0, channel_id="c", title_fallback="")


@pytest.mark.usefixtures("way")
def test_everything_that_the_dtd_knows_is_written(valid: Callable[[bytes], None]) -> None:
    raw = everything()
    out = write.programme(raw, start=START, stop=STOP, channel_id="one.example", title_fallback="")
    valid(document(out))
    before, after = details(raw), details(out)
    changed = {name for name in before.__slots__ if getattr(before, name) != getattr(after, name)}
    assert changed == {"start", "stop"}


def test_all_ways_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b'<programme start="1" channel="x">' + everything().split(b">", 1)[1]
    assert form._ready().fullmatch(raw), "the fixture is in the form that is copied"
    copied = write.programme(raw, start=START, stop=STOP, channel_id="c", title_fallback="")
    block(monkeypatch, "_ready")
    assert form.put_in_order(b"<programme", raw), "and in the form that is sorted"
    put_in_order = write.programme(raw, start=START, stop=STOP, channel_id="c", title_fallback="")
    block(monkeypatch, "_OPENING")
    rewritten = write.programme(raw, start=START, stop=STOP, channel_id="c", title_fallback="")
    assert details(copied) == details(put_in_order) == details(rewritten)


REWRITTEN = {
    "order": (
        "<desc>d</desc><category>k</category><title>t</title>",
        "<title>t</title><desc>d</desc><category>k</category>",
    ),
    "strangers": ("<title>t</title><lcn>5</lcn><live/>", "<title>t</title>"),
    "text between": ("x<title>t</title>y", "<title>t</title>"),
    "strange attributes": ("<title lang='en' x='y'>t</title>", '<title lang="en">t</title>'),
    "no title": ("<desc>d</desc>", "<title>No title</title><desc>d</desc>"),
    "empty titles": ("<title/><title>  </title>", "<title>No title</title>"),
    "an empty title before a full one": ("<title/><title>t</title>", "<title>t</title>"),
    "markup in a description": ("<title>t</title><desc>a <b>b</b> c</desc>", "<title>t</title><desc>a b c</desc>"),
    "CDATA": ("<title><![CDATA[<i>&]]></title>", "<title>&lt;i&gt;&amp;</title>"),
    "a comment": ("<title>t</title><!-- <new/> -->", "<title>t</title>"),
    "empty things": (
        "<title>t</title><desc/><category></category><icon/><credits/><video/><rating/>",
        "<title>t</title>",
    ),
    "an icon without an address": ("<title>t</title><icon width='1'/>", "<title>t</title>"),
    "attributes of an icon": (
        "<title>t</title><icon height='2' src='s' width='1'/>", '<title>t</title><icon src="s" width="1" height="2"/>',
    ),
    "a rating without a value": (
        "<title>t</title><rating>12</rating>",
        "<title>t</title><rating><value>12</value></rating>",
    ),
    "a length without units": ("<title>t</title><length>5</length>", "<title>t</title>"),
    "strange choices": (
        "<title>t</title><subtitles type='x'/><image type='y' size='9'>i</image>",
        "<title>t</title><subtitles></subtitles><image>i</image>",
    ),
    "a review without a type": (
        "<title>t</title><review>http://r</review>",
        '<title>t</title><review type="url">http://r</review>',
    ),
    "two of what stands once": ("<title>t</title><date>1</date><date>2</date>", "<title>t</title><date>1</date>"),
    "two credits": (
        "<title>t</title><credits><actor>A</actor></credits><credits><director>D</director></credits>",
        "<title>t</title><credits><director>D</director><actor>A</actor></credits>",
    ),
    "an actor with a strange guest": (
        "<title>t</title><credits><actor guest='maybe' role='R'>A</actor><boss>B</boss></credits>",
        '<title>t</title><credits><actor role="R">A</actor></credits>',
    ),
    "a number that is not of its system": (
        "<title>t</title><episode-num system='xmltv_ns'>S1E2</episode-num>",
        "<title>t</title><episode-num>S1E2</episode-num>",
    ),
    "a number that is of no system": (
        "<title>t</title><episode-num system='xmltv_ns'>-1.0.</episode-num><episode-num>12</episode-num>",
        "<title>t</title><episode-num>12</episode-num>",
    ),
    "C1 controls": ("<title>a\u0092b</title>", "<title>ab</title>"),
    "quotes in attributes": ("<title x='' lang='\"'>t</title>", '<title lang="&quot;">t</title>'),
    "a premiere without words": (
        "<title>t</title><premiere/><new></new>",
        "<title>t</title><premiere></premiere><new/>",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("inner", "expected"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_what_is_not_in_the_form_of_the_dtd_is_rewritten(
    inner: str, expected: str, valid: Callable[[bytes], None]
) -> None:
    out = written(inner)
    body = out.split(b">", 1)[1].removesuffix(b"</programme>\n")
    assert "".join(line.strip() for line in body.decode().splitlines()) == expected
    valid(document(out))


AS_IT_CAME = {
    "no title": ("<desc>d</desc>", "<title/><desc>d</desc>"),
    "empty titles": ("<title lang='de'> </title><title/>", '<title lang="de"/>'),
    "numbers": (
        "".join(
            f"<episode-num system='xmltv_ns'>{text}</episode-num>" for text in ("S1E2", " -1.0. ", "a &amp; b", "")
        ),
        "<title/>"
        + "".join(f'<episode-num system="xmltv_ns">{text}</episode-num>' for text in ("S1E2", "-1.0.", "a &amp; b")),
    ),
}


@pytest.mark.parametrize(("inner", "expected"), AS_IT_CAME.values(), ids=AS_IT_CAME.keys())
def test_as_it_came_nothing_is_made_up_or_judged(inner: str, expected: str, valid: Callable[[bytes], None]) -> None:
    out = written(inner, as_it_came=True)
    body = out.split(b">", 1)[1].removesuffix(b"</programme>\n")
    assert "".join(line.strip() for line in body.decode().splitlines()) == expected
    valid(document(out))


def test_attributes_of_the_dtd_stay_and_others_go(valid: Callable[[bytes], None]) -> None:
    out = written("<title>t</title>", " clumpidx='0/2' pdc-start='20261121' catchup-id='7' showview='1'")
    assert b"clumpidx='0/2' pdc-start='20261121' showview='1'>" in out
    assert b"catchup" not in out
    valid(document(out))
    out = written("<title x='y'>t</title>", " clumpidx='0/2' pdc-start='20261121' catchup-id='7' showview='1'")
    assert b'pdc-start="20261121" showview="1" clumpidx="0/2">' in out
    valid(document(out))


def test_a_channel_has_a_name_whatever_came_in(valid: Callable[[bytes], None]) -> None:
    full = write.channel("a", [("en", "A & B"), (None, "1")], "http://i/?a=1&b=2", ["http://u"])
    assert full.split(b"\n    ")[1:3] == [
        b'<display-name lang="en">A &amp; B</display-name>',
        b"<display-name>1</display-name>",
    ]
    bare = write.channel("<b>", [(None, " "), ("x", "")], " ", [""])
    assert b"<display-name>&lt;b&gt;</display-name>" in bare
    valid(
        write.head("Aerial & Co", {"date": "1991|2001", "source-info-name": "<S>", "generator-info-url": "http://g"})
        + full
        + bare
        + write.tail()
    )


PIECES = [
    "<title>t</title>", "<title lang='x'>t</title>", '<title lang="en">t\u0085</title>', "<title/>", "<desc>d</desc>",
    "<desc> </desc>", "<sub-title>s</sub-title>", "<credits><actor>A</actor><director>D</director></credits>",
    '<credits><director>D</director><actor role="r" guest="no">A<image>i</image></actor></credits>', "<credits/>",
    "<date>2020</date>",
    "<category>c</category>", "<keyword>k</keyword>", "<language>en</language>",
    '<length units="minutes">5</length>', "<length>5</length>",
    '<icon src="i"/>', '<icon src="i" width="5" height="6" />',
    "<icon/>", "<url>u</url>", '<url system="s">u</url>', "<country>c</country>", "<episode-num>1</episode-num>",
    '<episode-num system="xmltv_ns">1 . 2/3 . 0/1</episode-num>', '<episode-num system="xmltv_ns">x</episode-num>',
    "<video><quality>HD</quality><aspect>4:3</aspect></video>", "<video><present>yes</present></video>", "<audio/>",
    "<audio><stereo>stereo</stereo></audio>", "<previously-shown/>", '<previously-shown start="1" channel="2"/>',
    "<premiere/>", "<premiere>p</premiere>", "<last-chance/>", "<new/>", "<new />", '<subtitles type="teletext"/>',
    '<subtitles type="onscreen"><language>x</language></subtitles>', '<rating system="s"><value>1</value></rating>',
    "<rating/>", "<rating><value>1</value><icon src='x'/></rating>", "<star-rating><value>1/2</value></star-rating>",
    '<review type="text">r</review>',
    "<review>r</review>", '<image type="poster">i</image>', "<image type='x'>i</image>",
    "text", "<!-- c -->", "<lcn>1</lcn>", "<x:y xmlns:x='u'/>", "<tv/>", "<programme/>", "<value>1</value>", "\n  ",
]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["", " x='y'", " clumpidx='1/2'"]))
def test_whatever_comes_in_what_goes_out_is_valid(
    valid: Callable[[bytes], None], pieces: list[str], attributes: str
) -> None:
    copied = written("".join(pieces), attributes)
    valid(document(copied))
    with pytest.MonkeyPatch.context() as patch:
        block(patch, "_ready", "_OPENING")
        rewritten = written("".join(pieces), attributes)
    valid(document(rewritten))
    valid(document(written("".join(pieces), attributes, as_it_came=True)))
    assert details(copied) == details(rewritten), "all ways keep the same"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_is_written_in_one_well_formed_piece(title: str, channel_id: str) -> None:
    raw = b"<programme><desc>d</desc></programme>"
    out = write.programme(raw, start=START, stop=STOP, channel_id=channel_id, title_fallback=title)
    assert details(out).title
    write_again = write.programme(out.strip(), start=START, stop=STOP, channel_id=channel_id, title_fallback="")
    assert details(write_again) == details(out)


@pytest.mark.usefixtures("way")
def test_the_tools_of_xmltv_accept_a_published_file(tmp_path: Path, dtd_path: Path) -> None:
    for tool, package in (("xmllint", "libxml2-utils"), ("tv_validate_file", "xmltv-util")):
        needed(tool, shutil.which(tool), package)
    guide = tmp_path / "guide.xml"
    raw = everything()
    guide.write_bytes(
        write.head("Aerial", {"date": "20261121"})
        + write.channel("one.example", [("en", "One")], "http://img.example/one.png")
        + write.programme(raw, start=START, stop=STOP, channel_id="one.example", title_fallback="")
        + write.tail()
    )
    lint = subprocess.run(["xmllint", "--noout", "--dtdvalid", dtd_path, guide], capture_output=True, text=True)
    assert (lint.returncode, lint.stderr) == (0, "")
    environment = {**os.environ, "XMLTV_SUPPLEMENT": str(dtd_path.parent)}
    check = subprocess.run(["tv_validate_file", guide], capture_output=True, text=True, env=environment)
    assert (check.returncode, check.stdout) == (0, "Validated ok.\n"), check.stderr
