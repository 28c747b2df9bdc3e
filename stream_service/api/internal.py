"""What the guide service tells and asks (`/internal/v1`); unknown fields are ignored."""

from flask import Response, request
from flask_openapi3 import APIBlueprint

from servicekit.web import accepts, json_answer
from stream_service.api import Collaborators

MAX_NOTICE_BYTES = 1 << 16


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/internal/v1`."""
    views = APIBlueprint("internal", __name__, url_prefix="/internal/v1", doc_ui=False)

    @views.post("/guide-imported")
    @accepts("application/json", max_bytes=MAX_NOTICE_BYTES)
    def guide_imported() -> Response:
        """A guide changed: the keeper looks for it now instead of within its half minute. May be lost without harm.

        `linked` names panels' guides among them: their sources are refreshed.
        """
        said = request.get_json(silent=True)
        keys = said.get("linked") if isinstance(said, dict) else None
        it.call(it.guide_imported, *(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else ())
        return json_answer({"status": "ok"}, 202)

    @views.get("/activity")
    def activity() -> Response:
        running = it.call(it.runs.running)
        return json_answer({"refreshes": [{"source_id": run.source_id, "run_id": run.id} for run in running]})

    return views
