"""The chat page in a real browser, against a small fake of the public API (CONTRACTS.md) on loopback."""

from __future__ import annotations

import ast
import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.routing import Route as Path_
from starlette.staticfiles import StaticFiles

CHANNELS = Path(__file__).parent.parent / "bot" / "channels"
PAGE = CHANNELS / "page"

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="needs /usr/bin/chromium (Debian package `chromium`)"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

CLAUSE = (
    "电梯维保企业可以结合电梯使用情况和安全状况，与电梯使用单位协商一致，在保障电梯安全运行的基础上，"
    "适当调整或延长现场维保周期，鼓励通过视频等信息化手段进行远程检查维护。"
)
DOCUMENT = "吉市监注字〔2020〕26号"
CONDITIONS = [
    "结合电梯的使用情况和安全状况",
    "维保企业与使用单位协商一致",
    "保障电梯安全运行",
]
SAY = "可以商量延长，但不是自动的，要同时做到三点："
NOTE = "通知没有写“一个月”这样的具体期限，只说“适当调整或延长”。"
VALIDITY = "※2020年2月印发，执行期至疫情全面解除时止，目前可能已不再执行，现行做法请以工作人员答复为准。"
ELEVATOR: dict[str, Any] = {
    "text": "\n".join(
        [
            SAY,
            *(f"{i}. {c}；" for i, c in enumerate(CONDITIONS, 1)),
            NOTE,
            f"第九条原文：「{CLAUSE}」——{DOCUMENT}",
            VALIDITY,
        ]
    ),
    "answer": {
        "kind": "policy",
        "citations": [{"document": DOCUMENT, "measure": 9, "quote": CLAUSE}],
    },
    "card": {
        "sections": [
            {
                "measure": 9,
                "title": "电梯维保",
                "say": SAY,
                "conditions": CONDITIONS,
                "note": NOTE,
                "clause": CLAUSE,
                "specified": True,
                "facet": "conditions",
            }
        ]
    },
    "choices": [
        {"id": "next0", "label": "能只做视频检查吗"},
        {"id": "next1", "label": "要报备吗"},
        {"id": "human", "label": "转人工"},
    ],
}
RECEIPT = {
    "text": "投诉已登记。编号 JL-T-261122-00017-4。这表示我们收到了，不表示已受理。",
    "answer": {"kind": "receipt", "case": "JL-T-261122-00017-4"},
    "card": {
        "receipt": {
            "numbers": ["JL-T-261122-00017-4"],
            "sms_code": "261122000174",
            "deadlines": ["最晚12月1日告知是否受理。"],
        }
    },
}
DANGER = {
    "text": "请先这样做：让里面的人按报警按钮，别扒门；马上打119。\n我已同时提醒值班人员。请告诉我是哪栋楼。",
    "answer": {"kind": "emergency"},
    "card": {"call": ["119", "110"]},
}
HTML = {"text": "<img src=x onerror=alert(1)><b>粗</b>", "answer": {"kind": "fallback"}}
ANSWERS = {"维保": ELEVATOR, "确认提交": RECEIPT, "电梯里关": DANGER, "标签": HTML}
GREETING = {
    "text": "您好，这里是吉林12315智能助手（机器人）。\n输入“人工”可以转值班人员。",
    "answer": {"kind": "chitchat"},
    "choices": [{"id": "start0", "label": "16条措施有哪些"}, {"id": "start1", "label": "我要投诉"}],
}


@dataclass
class Fake:
    """The public API over lists in memory; tests set what goes wrong."""

    url: str = ""
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: list[dict[str, Any]] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    refuse: list[tuple[int, str, str, dict[str, str]]] = field(default_factory=list)
    mute: bool = False
    drop_streams: int = 0
    page_size: int = 500
    delay: float = 0.0
    person: bool = False
    now: datetime = datetime(2026, 11, 22, 15, 4, 5, tzinfo=timezone(timedelta(hours=8)))

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log of the newest conversation."""
        return self.logs[list(self.logs)[-1]]

    def add(self, log: list[dict[str, Any]], author: str, **message: Any) -> dict[str, Any]:
        """Append a message as the log would."""
        shown = {
            "seq": len(log) + 1,
            "author": author,
            "created_at": self.now.isoformat(),
            "choices": [],
        } | message
        log.append(shown)
        return shown

    def texts(self, author: str) -> list[str]:
        """What `author` said in the newest conversation."""
        return [m["text"] for m in self.log if m["author"] == author]

    # -- routes -----------------------------------------------------------------------------------

    async def open(self, _: Request) -> Response:
        """POST /conversations."""
        if self.refuse:
            return self._refused()
        name = f"c{len(self.logs) + 1}"
        self.logs[name] = []
        return JSONResponse(
            {
                "conversation_id": name,
                "token": f"secret-{name}",
                "messages": [self.add(self.logs[name], "bot", **GREETING)],
            },
            201,
        )

    def _refused(self) -> Response:
        status, code, text, headers = self.refuse.pop(0)
        return JSONResponse({"error": {"code": code, "message": text}}, status, headers)

    def _denied(self, request: Request) -> Response | None:
        name = request.path_params["name"]
        if name not in self.logs:
            return JSONResponse(
                {"error": {"code": "unknown_conversation", "message": "没有找到这个会话。"}}, 404
            )
        if request.headers.get("authorization") != f"Bearer secret-{name}":
            return JSONResponse({"error": {"code": "unauthorized", "message": "会话凭证无效。"}}, 401)
        return None

    async def messages(self, request: Request) -> Response:
        """GET and POST /conversations/{id}/messages."""
        if denied := self._denied(request):
            return denied
        log = self.logs[request.path_params["name"]]
        if request.method == "GET":
            after = int(request.query_params["after"])
            return JSONResponse({"messages": log[after:][: self.page_size]})
        body = await request.json()
        self.posts.append(body)
        if self.refuse:
            return self._refused()
        if known := self.known.get(body["client_message_id"]):
            return JSONResponse(known)
        offered = [c for m in log[::-1] for c in m["choices"]]
        text = body.get("text") or next(c["label"] for c in offered if c["id"] == body["choice"])
        message = self.add(log, "user", text=text)
        if self.person:
            return JSONResponse({"message": message, "replies": []}, 202)
        await asyncio.sleep(self.delay)
        if text == "转人工":
            reply: dict[str, Any] = {"text": "好的，已为您排队。", "answer": {"kind": "handoff"}}
        else:
            fallback = {"text": f"收到：{text}", "answer": {"kind": "chitchat"}}
            reply = next((a for word, a in ANSWERS.items() if word in text), fallback)
        out = {"message": message, "replies": [self.add(log, "bot", **reply)]}
        self.known[body["client_message_id"]] = out
        return JSONResponse(out)

    async def events(self, request: Request) -> Response:
        """GET /conversations/{id}/events."""
        if denied := self._denied(request):
            return denied
        log = self.logs[request.path_params["name"]]
        seq = int(request.headers["last-event-id"])
        self.resumed.append(str(seq))

        async def body() -> AsyncIterator[str]:
            nonlocal seq
            yield ": ping\r\n\r\n"
            if self.drop_streams:
                self.drop_streams -= 1
                return
            while not await request.is_disconnected():
                for message in [] if self.mute else log[seq:]:
                    seq = message["seq"]
                    data = json.dumps(message, ensure_ascii=False)
                    yield f"event: message\r\nid: {seq}\r\ndata: {data}\r\n\r\n"
                await asyncio.sleep(0.03)

        return StreamingResponse(body(), media_type="text/event-stream")


def _policy() -> bytes:
    """The gateway's own CSP, read from its source: importing it would bring the whole service."""
    for node in ast.parse((CHANNELS / "app.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CSP":
            return str(ast.literal_eval(node.value)).encode()
    raise AssertionError("bot/channels/app.py has no CSP")


async def _index(_: Request) -> Response:
    return FileResponse(PAGE / "index.html")


def _app(fake: Fake) -> Any:
    base = "/api/v1/conversations"
    app = Starlette(
        routes=[
            Path_(base, fake.open, methods=["POST"]),
            Path_(base + "/{name}/messages", fake.messages, methods=["GET", "POST"]),
            Path_(base + "/{name}/events", fake.events),
            Path_("/", _index),
            Mount("/static", StaticFiles(directory=PAGE)),
        ]
    )

    policy = _policy()

    async def with_policy(scope: Any, receive: Any, send: Any) -> None:
        async def sending(event: Any) -> None:
            if event["type"] == "http.response.start":
                event["headers"].append((b"content-security-policy", policy))
            await send(event)

        await app(scope, receive, sending if scope["type"] == "http" else send)

    return with_policy


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A running fake on a free port of 127.0.0.1."""
    made = Fake()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(_app(made), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the fake server did not start"
        time.sleep(0.01)
    yield made
    server.should_exit = True
    thread.join(5)
    listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """An opened page and what the browser noted about it."""

    page: Page
    fake: Fake
    errors: list[str]
    hosts: set[str]

    def say(self, text: str) -> None:
        """Type and send."""
        self.page.fill("#entry", text)
        self.page.press("#entry", "Enter")

    def own(self) -> Any:
        """The citizen's bubbles."""
        return self.page.locator("#log .user .bubble")


@pytest.fixture
def visit(fake: Fake, browser: Browser) -> Iterator[Visit]:
    """The page on a phone of 375 x 812; afterwards nothing may have left the machine or gone wrong.

    A refused or lost request is logged by the browser itself ("Failed to load resource"): tests that cause
    one look at it themselves, so that only errors of the page (script, CSP) fail here.
    """
    context: BrowserContext = browser.new_context(
        viewport={"width": 375, "height": 812}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    page = context.new_page()
    opened = Visit(page, fake, [], set())
    context.on("request", lambda request: opened.hosts.add(urlsplit(request.url).hostname or "data"))
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("console", lambda said: opened.errors.append(said.text) if said.type == "error" else None)
    page.set_default_timeout(5000)
    page.goto(fake.url)
    expect(page.locator("#log .bot")).to_have_count(1)
    yield opened
    context.close()
    assert opened.hosts <= {"127.0.0.1", "data"}
    assert [e for e in opened.errors if "Failed to load resource" not in e] == []


def test_greets_and_answers_without_a_console_error(visit: Visit) -> None:
    expect(visit.page.locator("h1")).to_have_text("吉林12315智能助手（机器人）")
    visit.say("你好")
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：你好")
    expect(visit.own()).to_have_text(["你好"])
    expect(visit.page.locator("#entry")).to_have_value("")
    expect(visit.page.locator("#typing")).to_be_hidden()
    expect(visit.page.locator("#log time").first).to_contain_text("15:04")
    assert visit.errors == []
    assert "127.0.0.1" in visit.hosts


def test_policy_answer_is_a_card_with_the_clause_folded(visit: Visit) -> None:
    visit.say("电梯维保能一个月一次吗")
    card = visit.page.locator("#log .is-policy")
    expect(card.locator(".say")).to_have_text(SAY)
    expect(card.locator("ol li")).to_have_text(CONDITIONS)
    expect(card.get_by_text(NOTE)).to_be_visible()
    expect(card.locator(".validity")).to_have_text(VALIDITY)
    clause = card.locator("blockquote")
    expect(clause).to_be_hidden()
    card.locator("summary", has_text="第九条原文").click()
    expect(clause).to_have_text(f"「{CLAUSE}」——{DOCUMENT}")


def test_a_card_that_its_text_does_not_hold_is_shown_as_text(visit: Visit) -> None:
    odd = ELEVATOR | {"text": "只有这一句。"}
    visit.fake.add(visit.fake.log, "bot", **odd)
    expect(visit.page.locator("#log .is-policy .bubble")).to_have_text("只有这一句。")


def test_words_before_a_card_are_kept(visit: Visit) -> None:
    foreign = {"text": f"I answer in Chinese.\n{ELEVATOR['text']}"}
    visit.fake.add(visit.fake.log, "bot", **(ELEVATOR | foreign))
    bubble = visit.page.locator("#log .is-policy .bubble")
    expect(bubble.locator("> p").first).to_have_text("I answer in Chinese.")
    expect(bubble.locator(".say")).to_have_text(SAY)


def test_choices_send_their_id_and_go_away(visit: Visit) -> None:
    visit.page.locator("#choices button", has_text="我要投诉").click()
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：我要投诉")
    assert visit.fake.posts[-1]["choice"] == "start1"
    assert "text" not in visit.fake.posts[-1]
    expect(visit.page.locator("#choices")).to_be_hidden()
    visit.say("电梯维保")
    expect(visit.page.locator("#choices button")).to_have_text(["能只做视频检查吗", "要报备吗", "转人工"])


def test_retry_after_a_refused_send_stores_it_once(visit: Visit) -> None:
    visit.fake.refuse.append((503, "not_stored", "消息没有收下，请稍后重发。", {}))
    visit.say("红旗街那个")
    failed = visit.page.locator("#log .user.failed")
    expect(failed.locator(".state")).to_contain_text("消息没有收下")
    failed.get_by_role("button", name="重发").click()
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：红旗街那个")
    expect(visit.own()).to_have_text(["红旗街那个"])
    expect(failed).to_have_count(0)
    assert visit.fake.texts("user") == ["红旗街那个"]
    first, second = visit.fake.posts
    assert first["client_message_id"] == second["client_message_id"]


def _lose_first_response(page: Page) -> None:
    lost: list[Route] = []

    def once(route: Route) -> None:
        if route.request.method != "POST" or lost:
            return route.continue_()
        lost.append(route)
        route.fetch()
        return route.abort()

    page.route("**/messages*", once)


def test_retry_after_a_lost_response_does_not_double(visit: Visit) -> None:
    visit.fake.mute = True  # Without the stream only the retry can tell that it was stored.
    _lose_first_response(visit.page)
    visit.say("退我四十就行")
    visit.page.locator("#log .failed").get_by_role("button", name="重发").click()
    expect(visit.page.locator("#log .bot")).to_have_count(2)
    visit.fake.mute = False
    visit.say("谢谢")
    expect(visit.page.locator("#log .bot")).to_have_count(3)
    expect(visit.own()).to_have_text(["退我四十就行", "谢谢"])
    assert visit.fake.texts("user") == ["退我四十就行", "谢谢"]


def test_stream_settles_a_message_whose_response_was_lost(visit: Visit) -> None:
    _lose_first_response(visit.page)
    visit.say("退我四十就行")
    expect(visit.page.locator("#log .bot")).to_have_count(2)
    expect(visit.own()).to_have_text(["退我四十就行"])
    expect(visit.page.locator("#log .failed")).to_have_count(0)
    assert visit.fake.texts("user") == ["退我四十就行"]


def test_an_expired_choice_is_sent_as_words(visit: Visit) -> None:
    visit.fake.refuse.append((422, "unknown_choice", "这个选项已经失效，请直接输入文字。", {}))
    visit.page.locator("#choices button", has_text="我要投诉").click()
    visit.page.locator("#log .failed").get_by_role("button", name="重发").click()
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：我要投诉")
    assert visit.fake.posts[-1]["text"] == "我要投诉"


def test_rate_limit_tells_how_long(visit: Visit) -> None:
    visit.fake.refuse.append((429, "too_many", "发送得太快了，请稍等一会儿再试。", {"Retry-After": "7"}))
    visit.say("喂")
    expect(visit.page.locator("#log .failed .state")).to_contain_text("约7秒后")


def test_a_message_that_is_too_large_goes_back_into_the_box(visit: Visit) -> None:
    visit.fake.refuse.append((413, "too_large", "请求太大，请减少内容后重试。", {}))
    visit.say("很长的话")
    visit.page.locator("#log .failed").get_by_role("button", name="修改").click()
    expect(visit.page.locator("#entry")).to_have_value("很长的话")
    expect(visit.own()).to_have_count(0)


def test_typing_is_shown_until_the_answer_comes(visit: Visit) -> None:
    visit.fake.delay = 1.0
    visit.say("你好")
    expect(visit.page.locator("#typing")).to_be_visible()
    expect(visit.page.locator("#status")).to_have_text("对方正在输入…")
    expect(visit.page.locator("#log .bot")).to_have_count(2)
    expect(visit.page.locator("#typing")).to_be_hidden()


def test_messages_typed_in_a_row_keep_their_order(visit: Visit) -> None:
    visit.fake.delay = 0.2
    for text in ("一", "二", "三"):
        visit.say(text)
    expect(visit.page.locator("#log .bot")).to_have_count(4)
    said = [m["text"] for m in visit.fake.log]
    assert said[1:] == ["一", "收到：一", "二", "收到：二", "三", "收到：三"]
    expect(visit.page.locator("#log .bubble").nth(6)).to_have_text(said[6])
    assert visit.page.locator("#log .bubble").all_text_contents()[1:] == said[1:]


def test_offline_is_told_and_the_message_goes_out_when_back(visit: Visit) -> None:
    visit.page.context.set_offline(True)
    visit.say("断网了")
    expect(visit.page.locator("#log .failed .state")).to_contain_text("网络断开了")
    visit.page.context.set_offline(False)
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：断网了")
    expect(visit.page.locator("#log .failed")).to_have_count(0)
    assert visit.fake.texts("user") == ["断网了"]


def test_no_reply_means_that_a_person_has_the_conversation(visit: Visit) -> None:
    visit.fake.person = True
    visit.say("在吗")
    expect(visit.page.locator("#status")).to_have_text("值班人员正在为您服务")
    expect(visit.own()).to_have_text(["在吗"])
    expect(visit.page.locator("#log .sending, #log .failed")).to_have_count(0)


def test_reload_restores_the_log_page_by_page(visit: Visit) -> None:
    visit.fake.page_size = 2
    visit.say("你好")
    expect(visit.page.locator("#log .bot")).to_have_count(2)
    visit.say("电梯维保")
    expect(visit.page.locator("#log .is-policy")).to_have_count(1)
    visit.page.reload()
    expect(visit.page.locator("#log .is-policy .say")).to_have_text(SAY)
    expect(visit.own()).to_have_text(["你好", "电梯维保"])
    expect(visit.page.locator("#log .bot")).to_have_count(3)
    expect(visit.page.locator("#choices button")).to_have_count(3)
    assert len(visit.fake.logs) == 1


def test_reload_keeps_a_message_that_was_not_confirmed(visit: Visit) -> None:
    visit.fake.refuse.append((503, "not_stored", "消息没有收下，请稍后重发。", {}))
    visit.say("别丢了")
    expect(visit.page.locator("#log .failed")).to_have_count(1)
    visit.page.reload()
    visit.page.locator("#log .failed").get_by_role("button", name="重发").click()
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：别丢了")
    assert visit.fake.posts[0]["client_message_id"] == visit.fake.posts[1]["client_message_id"]


def test_stream_resumes_after_a_break(visit: Visit) -> None:
    visit.say("你好")
    expect(visit.page.locator("#log .bot")).to_have_count(2)
    visit.fake.drop_streams = 2
    visit.page.evaluate("window.dispatchEvent(new Event('online'))")
    visit.fake.add(visit.fake.log, "staff", text="我是值班人员小王。")
    visit.fake.add(visit.fake.log, "system", text="值班人员已接手。")
    expect(visit.page.locator("#log .staff .bubble")).to_have_text("我是值班人员小王。")
    expect(visit.page.locator("#log .staff .name")).to_have_text("值班人员")
    expect(visit.page.locator("#log .system")).to_have_text("值班人员已接手。")
    expect(visit.page.locator("#status")).to_have_text("值班人员正在为您服务")
    expect(visit.page.locator("#log article")).to_have_count(5)
    deadline = time.monotonic() + 8
    while len(visit.fake.resumed) < 4 and time.monotonic() < deadline:
        visit.page.wait_for_timeout(100)
    assert visit.fake.resumed[-1] == "5"


def test_unknown_conversation_starts_a_new_one_and_says_so(visit: Visit) -> None:
    visit.page.evaluate(
        "localStorage.setItem('hotline.conversation', JSON.stringify({id: 'gone', token: 'x'}))"
    )
    visit.page.reload()
    expect(visit.page.locator("#log .system")).to_contain_text("新开了一个会话")
    expect(visit.page.locator("#log .bot")).to_have_count(1)
    visit.say("你好")
    expect(visit.page.locator("#log .bot").last).to_contain_text("收到：你好")
    assert len(visit.fake.logs) == 2


def test_opening_that_fails_is_told_and_tried_again(visit: Visit) -> None:
    visit.page.evaluate("localStorage.clear()")
    visit.fake.refuse.append((503, "not_stored", "", {}))
    visit.page.reload()
    expect(visit.page.locator("#log .notice")).to_contain_text("正在自动重连")
    expect(visit.page.locator("#log .bot")).to_have_count(1)
    expect(visit.page.locator("#log .notice")).to_have_count(0)


def test_receipt_can_be_copied(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.fake.url)
    visit.say("确认提交")
    receipt = visit.page.locator("#log .is-receipt .slip")
    expect(receipt.locator("strong")).to_have_text("JL-T-261122-00017-4")
    expect(receipt).to_contain_text("短信查询码 2611220001 74")
    receipt.get_by_role("button").click()
    expect(receipt.get_by_role("button")).to_have_text("已复制")
    assert visit.page.evaluate("navigator.clipboard.readText()") == "JL-T-261122-00017-4"


def test_emergency_offers_calls_before_the_question(visit: Visit) -> None:
    visit.say("商场电梯里关俩人")
    bubble = visit.page.locator("#log .is-emergency .bubble")
    links = bubble.locator("a")
    expect(links).to_have_text(["拨打119", "拨打110"])
    expect(links.first).to_have_attribute("href", "tel:119")
    expect(bubble.locator("> p").nth(1)).to_have_class("calls")


def test_text_of_the_server_is_never_markup(visit: Visit) -> None:
    visit.say("标签")
    expect(visit.page.locator("#log .bot").last).to_contain_text("<img src=x onerror=alert(1)><b>粗</b>")
    expect(visit.page.locator("#log img, #log b")).to_have_count(0)


def test_person_button_is_one_key(visit: Visit) -> None:
    visit.page.get_by_role("button", name="人工", exact=True).click()
    expect(visit.page.locator("#log .is-handoff")).to_contain_text("已为您排队")
    assert visit.fake.texts("user") == ["转人工"]


def test_keyboard_shift_enter_and_composition(visit: Visit) -> None:
    visit.page.fill("#entry", "第一行")
    visit.page.press("#entry", "Shift+Enter")
    visit.page.type("#entry", "第二行")
    expect(visit.page.locator("#entry")).to_have_value("第一行\n第二行")
    press = "keys => document.getElementById('entry').dispatchEvent(new KeyboardEvent('keydown', keys))"
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        visit.page.evaluate(press, {"key": "Enter", "bubbles": True, "cancelable": True} | composing)
    expect(visit.own()).to_have_count(0)
    visit.page.press("#entry", "Enter")
    expect(visit.own()).to_have_text(["第一行\n第二行"])


def test_counter_counts_as_the_server_and_stops_at_2000(visit: Visit) -> None:
    visit.page.fill("#entry", "𠮷" * 2000)
    expect(visit.page.locator("#counter")).to_have_text("2000/2000")
    expect(visit.page.locator("#send")).to_be_enabled()
    visit.page.fill("#entry", "𠮷" * 2003)
    expect(visit.page.locator("#counter")).to_have_text("超出3字")
    expect(visit.page.locator("#send")).to_be_disabled()
    visit.page.press("#entry", "Enter")
    expect(visit.own()).to_have_count(0)


def test_large_text_is_remembered_and_fits_a_phone(visit: Visit) -> None:
    visit.say("电梯维保")
    button = visit.page.get_by_role("button", name="大字")
    button.click()
    visit.page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(visit.page.locator("#log .is-policy")).to_be_visible()
    assert visit.page.evaluate("getComputedStyle(document.documentElement).fontSize") == "21px"
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 375
