"""The widget in a real browser: Debian's Chromium, the built widget, a real gateway on a scripted engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright
from sqlalchemy import select

from bot.conversations.compose import payload_of
from bot.conversations.log import Reply, append
from bot.conversations.models import Conversation, Message
from bot.widget_build import WIDGET, build_widget
from tests.harness import Hotline

# Playwright's five seconds are too few for a machine that does much else.
expect.set_options(timeout=20_000)
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 375, "height": 812}
DESKTOP = {"width": 1280, "height": 800}
AXE = WIDGET / "node_modules" / "axe-core" / "axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium nothing here can run; in CI a skipped test fails the run."""
    if CHROMIUM.exists():
        return
    missing = pytest.mark.skip(reason="needs /usr/bin/chromium (Debian package `chromium`)")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(missing)


@pytest.fixture(scope="session")
def widget() -> Path:
    """The built widget.js; tests never look at an old one."""
    return build_widget()


@pytest.fixture(scope="session")
def browser(widget: Path) -> Iterator[Browser]:
    """One Chromium for the session."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Gateway:
    """A gateway on a scripted engine, on a real socket; `stop` and `start` are what a restart would be."""

    hotline: Hotline
    port: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; on the same port as before."""
        config = uvicorn.Config(
            self.hotline.app,
            port=self.port,
            log_config=None,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve(),), daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the gateway did not start"
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """End; open streams break."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(10)

    def restart(self) -> None:
        """Forget everything that is not in the database."""
        self.hotline.restart()
        self.start()

    def texts(self, author: str) -> list[str]:
        """What `author` has said, over all conversations."""
        with self.hotline.readers() as session:
            query = select(Message).where(Message.author == author).order_by(Message.created_at, Message.seq)
            return [message.body for message in session.scalars(query)]

    def conversations(self) -> list[str]:
        """Their ids, the oldest first."""
        with self.hotline.readers() as session:
            return list(session.scalars(select(Conversation.id).order_by(Conversation.created_at)))

    def add(self, author: str, text: str, kind: str = "chitchat", **more: Any) -> None:
        """A message of the bot, of staff or of the system in the newest conversation, as another process adds it."""
        reply = Reply(text=text, answer=payload_of(kind) if author == "bot" else {}, **more)
        with self.hotline.sessions.begin() as session:
            conversation = session.get_one(Conversation, self.conversations()[-1])
            append(session, conversation, author, reply, self.hotline.clock())

    def own(self, owner: str, name: str | None = None) -> None:
        """Who has the newest conversation."""
        with self.hotline.sessions.begin() as session:
            conversation = session.get_one(Conversation, self.conversations()[-1])
            conversation.owner, conversation.owner_name = owner, name


@pytest.fixture
def gateway(hotline: Hotline) -> Iterator[Gateway]:
    """A running gateway."""
    made = Gateway(hotline)
    made.start()
    yield made
    made.stop()


@dataclass
class Visit:
    """A page with the widget, and what the browser noted about it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    expected: tuple[str, ...] = ("Failed to load resource", "net::ERR")

    def open(self, path: str = "/") -> None:
        """Load the page and open the chat."""
        self.page.goto(self.url + path)
        self.page.get_by_role("button", name="在线咨询").last.click()
        expect(self.bot).not_to_have_count(0)

    def say(self, text: str) -> None:
        """Type and send."""
        self.page.fill("#entry", text)
        self.page.press("#entry", "Enter")

    def find(self, selector: str, **more: Any) -> Locator:
        """Inside the shadow root (Playwright's selectors look through it)."""
        return self.page.locator(selector, **more)

    @property
    def bot(self) -> Locator:
        return self.find("article.bot")

    @property
    def own(self) -> Locator:
        """The citizen's bubbles."""
        return self.find("article.user .typed")

    @property
    def failed(self) -> Locator:
        return self.find(".waiting.failed")

    @property
    def choices(self) -> Locator:
        return self.find(".choices button")

    def refuse_once(self, status: int, code: str, message: str, **headers: str) -> list[dict[str, Any]]:
        """The next message is refused; gives the bodies of all that are sent from now on."""
        sent: list[dict[str, Any]] = []

        def route(each: Route) -> None:
            if each.request.method != "POST":
                return each.continue_()
            sent.append(each.request.post_data_json)
            if len(sent) > 1:
                return each.continue_()
            error = {"error": {"code": code, "message": message}}
            return each.fulfill(status=status, json=error, headers=headers)

        self.page.route("**/messages*", route)
        return sent

    def lose_responses(self, count: int = 1) -> None:
        """The server gets the next messages; their responses are lost on the way."""
        lost: list[Route] = []

        def route(each: Route) -> None:
            if each.request.method != "POST" or len(lost) >= count:
                return each.continue_()
            lost.append(each)
            each.fetch()
            return each.abort()

        self.page.route("**/messages*", route)

    def violations(self) -> list[str]:
        """What axe-core finds against WCAG 2 A and AA."""
        self.page.evaluate(AXE.read_text("utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
        found = self.page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Makes visits; afterwards nothing may have left the machine or gone wrong on a page."""
    made: list[tuple[BrowserContext, Visit]] = []

    def make(url: str, viewport: dict[str, int] = PHONE, **options: Any) -> Visit:
        context = browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            **options,
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        visit = Visit(page, url)
        context.on("request", lambda request: visit.hosts.add(urlsplit(request.url).hostname or "data"))
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
        made.append((context, visit))
        return visit

    yield make
    for context, visit in made:
        context.close()
        assert visit.hosts <= {"127.0.0.1", "data"}, visit.hosts
        assert [e for e in visit.errors if not any(known in e for known in visit.expected)] == []


@pytest.fixture
def visit(gateway: Gateway, visitor: Callable[..., Visit]) -> Visit:
    """The chat opened on a phone."""
    made = visitor(gateway.url)
    made.open()
    return made
