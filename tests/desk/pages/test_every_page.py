"""Every page with something on it, at 1280 px and on a phone: nothing sticks out, nothing is asked outside, and pictures
for the documentation when HOTLINE_TEST_PICTURES names a folder."""

import os
from pathlib import Path

import httpx
import pytest

from tests.desk.pages import scene

PICTURES = os.environ.get("HOTLINE_TEST_PICTURES")
PATHS = {
    "queue": "/", "talks": "/conversations", "cases": "/cases", "phone": "/phone", "roster": "/roster", "reviews": "/reviews",
    "figures": "/figures", "switches": "/switches", "audit": "/audit", "staff": "/staff", "dead-letters": "/dead-letters",
    "retention": "/retention",
}  # fmt: skip


def suggestions(room):
    """The engine's reading of the angry message, so that the copilot has something to say."""
    from bot.conversations.engine import Decision

    words = "都在，小票也拍照了。我不要换货，就要退钱，268元，再不退我就去举报他们卖假货"
    reading = {
        "intent": "complaint", "confidence": 0.93, "acts": {"complaint": 0.93, "report": 0.05}, "measures": [],
        "scores": {}, "reason": "act", "text": words, "facet": "", "specified": True,
    }  # fmt: skip
    entities = [
        {"entity": "amount", "value": "268元", "start": words.index("268元"), "end": words.index("268元") + 4}
    ]
    room.engine.script[words] = Decision([], reading, entities)


@pytest.mark.timeout(400)
def test_every_page(room, browse):
    suggestions(room)
    made = scene.fill(room)
    held = made["talks"]["held"].id
    paths = PATHS | {"conversation": f"/conversations/{held}", "case": f"/cases/{made['cases'][0]}"}
    as_whom = {"queue": room.agent, "conversation": room.agent}
    pages, wrong = {}, []
    for name, path in paths.items():
        staff = as_whom.get(name, room.admin)
        page = pages.get(staff.username) or browse(staff)
        pages[staff.username] = page
        for width, height in ((1280, 900), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            response = page.goto(f"{room.url}{path}")
            assert response.status == 200, path
            page.locator("h1").wait_for()
            page.wait_for_timeout(1600)
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                wrong.append(f"{path} at {width}: {wide} wide")
            if (heads := page.locator("main h1").count()) != 1:
                wrong.append(f"{path}: {heads} headings")
            if PICTURES:
                suffix = "" if width == 1280 else "-phone"
                page.screenshot(path=Path(PICTURES) / f"desk-{name}{suffix}.png")
    assert not wrong, wrong


def test_no_page_or_file_of_a_page_answers_without_log_in(room):
    from nicegui.client import Client
    from starlette.routing import Mount, Route

    from bot.desk.pages import PAGES as MODULES

    paths = set(Client.page_routes.values())
    assert len(paths) >= len(MODULES)
    from nicegui import core

    for route in [*room.app.routes, *core.app.routes]:
        if (
            isinstance(route, Route | Mount)
            and route.path
            and route.path not in ("/login", "/login.css", "/healthz")
        ):
            paths.add(route.path.replace("{", "").replace("}", "").replace(":path", ""))
    with httpx.Client(base_url=room.url, trust_env=False) as client:
        for path in sorted(paths):
            response = client.get(path, headers={"Accept": "text/html"})
            assert response.status_code in (303, 401), f"{path}: {response.status_code}"
            assert response.status_code == 401 or response.headers["location"].startswith("/login"), path
        polled = client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling")
        assert polled.status_code in (303, 401)


LINE = """(url) => new Promise((done) => {
    const line = new WebSocket(url);
    line.onopen = () => done('open');
    line.onclose = () => done('closed');
})"""


def test_a_line_is_refused_without_log_in(room, browse):
    page = browse(room.agent)
    url = f"{room.url.replace('http', 'ws')}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert page.evaluate(LINE, url) == "open"
    page.context.clear_cookies()
    assert page.evaluate(LINE, url) == "closed"
