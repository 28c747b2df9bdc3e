"""Gzip out of deflated pieces."""

import gzip
import io

from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.days import deflated, inflated
from epg_service.xmltv.gzipped import GzipText, Ready

TEXTS = st.lists(st.sampled_from([b"<a>", b"the same words again, ", b"\x00\xff", b"x" * 70_000]), max_size=5).map(
    b"".join
)


@given(TEXTS)
def test_a_deflated_text_comes_back(text: bytes) -> None:
    assert inflated(deflated(text)) == text


@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=8))
def test_ready_pieces_and_others_make_one_gzip_file(pieces: list[tuple[bytes, bool]]) -> None:
    out = io.BytesIO()
    writer = GzipText(out)
    for text, ready in pieces:
        writer.write(Ready(text, deflated(text)) if ready else text)
    writer.close()
    assert gzip.decompress(out.getvalue()) == b"".join(text for text, _ in pieces)
