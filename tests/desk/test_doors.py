"""Nothing of the desk answers without a log-in: every route, mount, method and websocket is tried."""

import re
import subprocess
import sys

import pytest
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket

from bot.desk.auth import OPEN
from bot.settings import ROOT
from bot.staff import accounts

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Where somebody would try to slip by the guard's comparison of paths.
SLIPS = (
    "/login/", "/login/x", "//login", "/LOGIN", "/login/../account", "/login%2f..%2faccount", "/login.css/..",
    "/login;x", "/healthz/", "/healthz/../account", "/%2e%2e/account", "/favicon.ico", "/robots.txt",
    "/_nicegui/x/static/nicegui.js", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/docs", "/redoc",
    "/openapi.json", "/metrics", "/static/x", "/nothing/of/the/kind", "/api/v1/nothing",
)  # fmt: skip


def paths(routes, prefix=""):
    """(path, is it a websocket) of every route below, mounts included."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield path.rstrip("/") + "/index.js", False
            yield from paths(route.routes or [], prefix + route.path)
        elif hasattr(route, "original_router"):  # FastAPI's included routers
            yield from paths(route.original_router.routes, prefix)
        else:
            yield path, isinstance(route, WebSocketRoute)


def concrete(path):
    return re.sub(r"\{[^}]*\}", "x", path) or "/"


async def knock(client, path):
    """(status, where it is sent) for every method; what an open path answers is not looked at."""
    found = set()
    for method in METHODS:
        response = await client.request(method, path)
        found.add((response.status_code, response.headers.get("location", "").split("?")[0]))
        assert len(response.content) < 200
    return found


REFUSED = ({(401, "")}, {(303, "/login")})


async def test_every_route_and_every_slip_is_refused_without_log_in(desk):
    client = desk.client()
    found = {concrete(path) for path, _ in paths(desk.app.routes)}
    assert {"/account", "/logout", "/openapi.json", *OPEN} <= found
    for path in sorted(found - OPEN) + list(SLIPS):
        assert await knock(client, path) in REFUSED, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {'x' * 5000}"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Cookie": "hotline_desk="},
        {"Cookie": "hotline_desk=x; hotline_desk=y"},
        {"X-Forwarded-User": "admin"},
    ],
)
async def test_what_is_no_log_in_opens_nothing(desk, headers):
    client = desk.client(**headers)
    assert (await client.get("/api/v1/me")).status_code == 401
    assert (await client.get("/account")).status_code == 303


async def test_the_open_paths_tell_nothing(desk):
    client = desk.client()
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/login.css")).headers["content-type"].startswith("text/css")
    page = (await client.get("/login")).text
    assert "用户名" in page and "admin" not in page and "<script" not in page


async def test_a_log_in_opens_what_was_shut(desk):
    assert (await desk.client(desk.agent).get("/openapi.json")).status_code == 200
    assert (await desk.client(desk.agent).get("/account")).status_code == 200


async def websocket(app, path="/_nicegui_ws/socket.io/", **headers):
    """What the application sends to a handshake."""
    sent = []
    events = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive():
        return next(events)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "ws", "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "subprotocols": [],
        "client": ("test", 1), "server": ("desk.test", 80), "asgi": {"version": "3.0"}, "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


async def test_a_websocket_without_log_in_is_closed_before_it_is_open(desk):
    for path in ("/_nicegui_ws/socket.io/", "/login", "/anything"):
        assert await websocket(desk.app, path) == [{"type": "websocket.close", "code": 4401}]


async def test_a_websocket_of_another_site_is_refused_although_the_cookie_came_with_it(desk):
    with desk.sessions.begin() as session:
        token = accounts.open_session(session, desk.agent, now=desk.clock())
    reached = []

    @desk.app.websocket("/ws")
    async def ws(socket: WebSocket):
        reached.append(socket.state.staff.username)
        await socket.accept()

    cookie = {"cookie": f"hotline_desk={token}", "host": "desk.test"}
    refused = [{"type": "websocket.close", "code": 4401}]
    assert await websocket(desk.app, "/ws", **cookie, origin="http://evil.test") == refused
    assert await websocket(desk.app, "/ws", **cookie) == refused
    assert reached == []
    assert (await websocket(desk.app, "/ws", **cookie, origin="http://desk.test"))[0][
        "type"
    ] == "websocket.accept"
    assert reached == ["agent"]


WALK_WITH_PAGES = """
import asyncio, httpx, json, sys
from bot.crypto import DataKey, set_data_key
from bot.desk.app import create_desk_app
from bot.settings import settings
from bot.storage import upgrade
from tests.desk.test_doors import OPEN, REFUSED, concrete, knock, paths
from tests.harness import ScriptedEngine
set_data_key(DataKey(bytes(range(32))))
upgrade(settings().database)
app = create_desk_app(settings(), ScriptedEngine())
if not any("_nicegui" in path for path, _ in paths(app.routes)):
    from nicegui import ui
    ui.run_with(app)
async def main():
    found = sorted({concrete(path) for path, _ in paths(app.routes)} - OPEN)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.test") as client:
        for path in found:
            assert await knock(client, path) in REFUSED, path
    print(json.dumps(found))
asyncio.run(main())
"""


def test_the_pages_and_nicegui_itself_are_behind_the_same_door(deployment):
    """NiceGUI mounts on one application of a process only: a process of its own."""
    import json
    import os

    environment = {**os.environ, "HOTLINE_HOME": str(deployment), "HOTLINE_RATE_LIMITS": "off"}
    environment = {k: v for k, v in environment.items() if not k.startswith(("NICEGUI", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-c", WALK_WITH_PAGES],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert any("/_nicegui/" in path for path in found)
    assert any("_nicegui_ws" in path for path in found)
