"""``/demo``: a small shop that uses the tracker as any site would, and shows what becomes of each event."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from msgspec import Struct
from sanic import HTTPResponse, Request
from sanic.exceptions import BadRequest, ServiceUnavailable

from pipeline.errors import UnavailableError
from pipeline.sanicserver import App
from pipeline.web import files
from pipeline.web.stored import StoredEvents, read_ids

PAGES = {"": "shelf", "/lamp": "product", "/kettle": "product", "/chair": "product", "/clock": "product"} | {
    f"/{name}": name for name in ("basket", "sign-up", "welcome")
}
"""The shop's pages: where each is below ``/demo``, and the file that it is."""

_PICTURES = ("lamp", "kettle", "chair", "clock")
# As strict as a careful site's: whatever the tracker did outside it would fail here.
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {"cache-control": "no-cache", "content-security-policy": _POLICY, "referrer-policy": "same-origin"}


class StoredIds(Struct, frozen=True):
    """The answer of ``/demo/stored``: the event ids that are in MongoDB."""

    stored: list[str]


def add(app: App, stored: StoredEvents) -> None:
    """Add the shop's pages, what they are made of, and ``/demo/stored``."""
    frame = _text("frame.html")
    for path, name in PAGES.items():
        title, _, content = _text(f"{name}.html").partition("\n")
        page = frame.replace("<!-- title -->", title).replace("<!-- page -->", content)
        files.serve(
            app, f"/demo{path}", f"demo{path.replace('/', '_')}", files.make(page.encode(), files.HTML), _HEADERS
        )
    for name in ("shop", "panel"):
        files.serve(app, f"/demo/{name}.js", f"demo_{name}_js", files.read_script(f"demo/{name}.js"), _HEADERS)
    files.serve(app, "/demo/shop.css", "demo_css", files.read("demo/shop.css", files.CSS), _HEADERS)
    for name in _PICTURES:
        picture = files.read(f"demo/{name}.svg", files.SVG)
        files.serve(app, f"/demo/{name}.svg", f"demo_{name}_svg", picture, _HEADERS)
    app.add_route(_stored(stored), "/demo/stored", methods=["GET"], name="demo_stored", stream=True)


def _stored(stored: StoredEvents) -> files.Handler:
    async def answer(request: Request) -> HTTPResponse:
        try:
            identifiers = read_ids(request.args.get("ids", ""))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        try:
            found = await stored.wait(identifiers)
        except UnavailableError as error:
            raise ServiceUnavailable(str(error)) from error
        body = msgspec.json.encode(StoredIds(found))
        return HTTPResponse(body, HTTPStatus.OK, {"cache-control": "no-store"}, "application/json")

    return answer


def _text(name: str) -> str:
    return files.read(f"demo/{name}", files.HTML).plain.decode()
