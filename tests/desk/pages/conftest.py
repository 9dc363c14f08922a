"""Gateway and desk on real sockets over one database file, and a browser that looks at the desk.

Both applications run in a thread with a loop of its own; tests are plain functions that drive Chromium. Whatever
a page asks for outside of 127.0.0.1 fails the test.
"""

import asyncio
import contextlib
import os
import shutil
import threading
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from bot.desk.app import create_desk_app
from bot.staff import accounts
from bot.staff.models import Role, Staff
from tests.harness import Hotline

PASSWORD = "Mei-Hua 2026 xue"
CHROMIUM = os.environ.get("HOTLINE_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NAMES = {Role.AGENT: "王敏", Role.LEAD: "李强", Role.ADMIN: "赵静"}


def forget_nicegui():
    """NiceGUI's application is one a process; a test that has run must leave nothing in it."""
    from nicegui import background_tasks, binding, core, event
    from nicegui.client import Client
    from nicegui.slot import Slot

    core.app.middleware_stack = None
    core.app.user_middleware.clear()
    core.app.router.routes[:] = [
        r for r in core.app.router.routes if getattr(r, "path", "") != "/favicon.ico"
    ]
    core.reset()
    Client.instances.clear()
    Slot.stacks.clear()
    core.app.reset()
    background_tasks.reset()
    binding.reset()
    event.reset()
    # Engine.IO starts one task for its pings, in the loop of its first connection.
    core.sio.eio.start_service_task = True
    core.sio.eio.sockets.clear()


class Served:
    """Applications on free ports of 127.0.0.1, in a thread."""

    def __init__(self, *apps):
        self._loop = asyncio.new_event_loop()
        self._servers = [
            uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
            for app in apps
        ]
        for server in self._servers:
            server.install_signal_handlers = lambda: None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        for server in self._servers:
            waited = 0
            while not server.started and self._thread.is_alive() and waited < 600:
                threading.Event().wait(0.05)
                waited += 1
            assert server.started, "a server did not start"

    def _run(self):
        async def serve():
            await asyncio.gather(*(self._serve(server) for server in self._servers))

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(serve())
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @staticmethod
    async def _serve(server):
        # Signals belong to pytest's thread.
        with contextlib.suppress(Exception):
            server.capture_signals = contextlib.nullcontext
        await server.serve()

    def url(self, index):
        port = self._servers[index].servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def call(self, coroutine):
        """The result of a coroutine of the applications' loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self):
        for server in self._servers:
            server.should_exit = True
        self._thread.join(15)


class Citizen:
    """Somebody at the public API."""

    def __init__(self, base):
        self.http = httpx.Client(base_url=base, trust_env=False, timeout=20)
        opened = self.http.post("/api/v1/conversations", json={"channel": "widget"}).json()
        self.id, self.token = opened["conversation_id"], opened["token"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def say(self, text):
        """The response to a message."""
        body = {"client_message_id": uuid.uuid4().hex, "text": text}
        response = self.http.post(
            f"/api/v1/conversations/{self.id}/messages", json=body, headers=self.headers
        )
        assert response.status_code in (200, 202), response.text
        return response.json()["replies"]

    def log(self):
        """All messages."""
        got = self.http.get(f"/api/v1/conversations/{self.id}/messages?after=0", headers=self.headers)
        return got.json()["messages"]


@dataclass
class Room:
    """The desk and the gateway as they run: one database file, one clock, one scripted engine."""

    hotline: Hotline
    made: dict = field(default_factory=dict)

    def __post_init__(self):
        self.clock, self.engine = self.hotline.clock, self.hotline.engine
        self.sessions, self.readers = self.hotline.sessions, self.hotline.readers
        with self.sessions.begin() as session:
            self.made = {
                role: accounts.add_staff(session, role.value, NAMES[role], role, PASSWORD, now=self.clock())
                for role in Role
            }
        self.app = create_desk_app(
            self.hotline.config, self.engine, sessions=self.sessions, readers=self.readers, now=self.clock
        )
        self.served = Served(self.app, self.hotline.app)
        self.url, self.gateway = self.served.url(0), self.served.url(1)

    @property
    def agent(self) -> Staff:
        """王敏, 值班员."""
        return self.made[Role.AGENT]

    @property
    def lead(self) -> Staff:
        """李强, 班长."""
        return self.made[Role.LEAD]

    @property
    def admin(self) -> Staff:
        """赵静, 管理员."""
        return self.made[Role.ADMIN]

    def colleague(self, username, name, role=Role.AGENT):
        """One more account."""
        with self.sessions.begin() as session:
            return accounts.add_staff(session, username, name, role, PASSWORD, now=self.clock())

    def citizen(self):
        """A citizen with a new conversation."""
        return Citizen(self.gateway)

    def write(self, work):
        """`work(session)` in one transaction."""
        with self.sessions.begin() as session:
            return work(session)

    def read(self, work):
        """`work(session)`, reading only."""
        with self.readers() as session:
            return work(session)

    def close(self):
        self.served.stop()
        forget_nicegui()


@pytest.fixture
def make_room(make_hotline):
    """Makes the room; keywords are settings."""
    forget_nicegui()
    made = []

    def make(**settings):
        made.append(Room(make_hotline(**settings)))
        return made[-1]

    yield make
    for room in made:
        room.close()


@pytest.fixture
def room(make_room):
    """Gateway and desk on the same file."""
    return make_room()


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium. Not for the session: while Playwright runs, its loop is the thread's, and no asynchronous test of
    another module could have its own."""
    if not shutil.which(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium fonts-noto-cjk")
    from playwright.sync_api import expect, sync_playwright

    # Playwright's five seconds are too few for a machine that does much else.
    expect.set_options(timeout=20_000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, room):
    """Opens the desk as a staff member in a browser of their own; outside requests and script errors fail the test."""
    contexts, wrong = [], []

    def open_(staff, path="/", *, width=1280, height=860):
        context = chromium.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()

        def asked(request):
            if urlsplit(request.url).hostname not in ("127.0.0.1", None, ""):
                wrong.append(f"outside: {request.url}")

        page.on("request", asked)
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        if staff is not None:
            log_in(page, room, staff.username)
            if path != "/":
                page.goto(f"{room.url}{path}")
            # Keys mean something once the page is drawn.
            page.locator("h1").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong, wrong


def log_in(page, room, username, password=PASSWORD):
    """Through the form, as people do."""
    page.goto(f"{room.url}/login")
    page.get_by_label("用户名").fill(username)
    page.get_by_label("密码", exact=False).first.fill(password)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url(f"{room.url}/")
