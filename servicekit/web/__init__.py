"""The web layer of both services: who may enter, how errors read, what every answer carries.

One table maps kinds of errors to HTTP; one resolver builds every address that is handed out. A service's app factory
calls `make_app`, adds its views, and is done.
"""

from servicekit.web.answers import (
    PageQuery,
    Shape,
    cursor_number,
    json_answer,
    no_content,
    page_of,
    published,
    wants_gzip,
)
from servicekit.web.app import MAX_BODY_BYTES, make_app
from servicekit.web.door import Door, accepts, origin_of, the_caller
from servicekit.web.problems import PROBLEM, STATUS, explain

__all__ = [
    "MAX_BODY_BYTES",
    "PROBLEM",
    "STATUS",
    "Door",
    "PageQuery",
    "Shape",
    "accepts",
    "cursor_number",
    "explain",
    "json_answer",
    "make_app",
    "no_content",
    "origin_of",
    "page_of",
    "published",
    "the_caller",
    "wants_gzip",
]
