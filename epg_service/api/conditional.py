"""Answers that are made only when they can have changed."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from flask import Response, request

from epg_service.api import Collaborators
from servicekit.web import json_answer


def answered(it: Collaborators, asked: Sequence[object], make: Callable[[], object]) -> Response:
    """`make()` as JSON under a weak ETag of what was asked (every default filled in) and the guide's present mark.

    The mark is read before the guide, so an answer never stands under a mark that is newer than what it says.
    """
    digest = blake2b(repr((request.path, it.browse.mark(), *asked)).encode(), digest_size=12).hexdigest()
    known = request.if_none_match.contains_weak(digest)
    response = Response(status=304) if known else json_answer(make())
    response.set_etag(digest, weak=True)
    response.headers["Cache-Control"] = "no-cache"
    return response
