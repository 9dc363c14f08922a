"""One id for one call: made or taken over, answered, logged, kept with the message and its deliveries."""

import asyncio
import http.server
import json
import threading
import uuid

import httpx
import pytest
import structlog

from bot import logs, request_ids
from bot.channels.actions_app import create_actions_app
from bot.conversations import log
from bot.conversations.engine import EngineFailed, HttpEngine
from bot.conversations.models import Message
from bot.crypto import mask_text

GIVEN = "6fa459ea-ee8a-4ca4-894e-db77e160355e"


def lines(logged, event):
    return [entry for entry in logged if entry["event"] == event]


@pytest.fixture
def merged(logged):
    """The log with what is bound to the context, as `bot.logs` writes it."""
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, *processors])
    return logged


@pytest.mark.parametrize("given", [GIVEN, GIVEN.replace("-", ""), GIVEN.upper()])
async def test_a_callers_uuid_is_taken_over(hotline, given):
    response = await hotline.http.get("/healthz", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given.lower()


@pytest.mark.parametrize(
    "given",
    [
        "", "1", "13904321187", "x" * 32, GIVEN + "0", f"{GIVEN} {GIVEN}", "../../etc/passwd",
        "a13904321187bcdefabcdefabcdefabc",  # a phone number among letters
        '{"event": "forged"}',
    ],
)  # fmt: skip
async def test_anything_else_is_replaced(hotline, given):
    response = await hotline.http.get("/healthz", headers={"X-Request-ID": given})
    made = response.headers["x-request-id"]
    assert made != given and uuid.UUID(made)


def test_an_id_of_our_own_is_never_masked_and_never_twice():
    made = {request_ids.new() for _ in range(5000)}
    assert len(made) == 5000 and all(mask_text(one) == one for one in made)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("POST", "/api/v1/conversations", 422),
        ("GET", "/api/v1/conversations/x/messages", 401),
        ("DELETE", "/api/v1/conversations", 405),
    ],
)
async def test_every_error_carries_it(hotline, merged, method, path, status):
    response = await hotline.http.request(method, path, headers={"X-Request-ID": GIVEN})
    assert response.status_code == status
    assert response.json()["error"]["request_id"] == response.headers["x-request-id"] == GIVEN
    (line,) = lines(merged, "request")
    assert (line["request_id"], line["path"], line["status"]) == (GIVEN, path, status)


async def test_a_crash_carries_it_and_logs_it(hotline, merged, monkeypatch):
    monkeypatch.setattr(log, "open_conversation", lambda *_: 1 / 0)
    response = await hotline.http.post("/api/v1/conversations", json={"channel": "widget"})
    assert response.status_code == 500
    request_id = response.headers["x-request-id"]
    assert response.json()["error"]["request_id"] == request_id
    assert lines(merged, "internal")[0]["request_id"] == request_id
    assert lines(merged, "request")[0]["status"] == 500


async def test_a_body_that_is_too_large_is_refused_with_it(hotline):
    response = await hotline.http.post("/api/v1/conversations", content=b"x" * 100_000)
    assert response.status_code == 413
    assert response.json()["error"]["request_id"] == response.headers["x-request-id"]


async def test_machines_that_look_in_are_not_logged(hotline, merged):
    for path in ("/healthz", "/readyz", "/metrics", "/static/notice.css"):
        assert (await hotline.http.get(path)).status_code == 200
    assert lines(merged, "request") == []


async def test_a_turn_logs_under_the_id_of_its_message(hotline, merged):
    talk = await hotline.open()
    response = await hotline.http.post(
        f"{talk.path}/messages", json={"client_message_id": "message-1", "text": "你好"},
        headers=talk.headers | {"X-Request-ID": GIVEN},
    )  # fmt: skip
    assert response.status_code == 200
    (turn,) = lines(merged, "turn")
    assert (turn["request_id"], turn["conversation"], turn["kinds"]) == (GIVEN, talk.id, ["chitchat"])
    with hotline.readers() as session:
        assert session.get(Message, turn["message"]).extra["request_id"] == GIVEN
    assert "request_id" not in str((await talk.log())[1])


async def test_another_process_takes_the_turn_up_under_the_same_id(hotline, merged):
    talk = await hotline.open()
    with request_ids.within(GIVEN), hotline.sessions.begin() as session:
        log.accept(session, log.InboundMessage(talk.id, "widget", "x:1", "在吗"), hotline.clock())
    hotline.restart()
    assert await hotline.turns.resume() == 1
    assert lines(merged, "turn")[0]["request_id"] == GIVEN


async def test_two_calls_at_once_do_not_mix_their_ids(hotline, merged):
    talks = [await hotline.open() for _ in range(8)]
    ids = [request_ids.new() for _ in talks]

    async def say(talk, request_id):
        body = {"client_message_id": "message-1", "text": "你好"}
        headers = talk.headers | {"X-Request-ID": request_id}
        return await hotline.http.post(f"{talk.path}/messages", json=body, headers=headers)

    await asyncio.gather(*map(say, talks, ids))
    found = {turn["conversation"]: turn["request_id"] for turn in lines(merged, "turn")}
    assert found == {talk.id: request_id for talk, request_id in zip(talks, ids, strict=True)}


async def test_the_engine_gets_it_in_header_and_context():
    seen = []

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.headers.get("x-request-id"), body["context"]))
            data = b'{"replies": [], "reading": {"act": "chitchat"}, "entities": []}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    engine = HttpEngine(f"http://127.0.0.1:{server.server_address[1]}", "t", 30)
    with request_ids.within(GIVEN):
        await engine.turn("c", "m", "你好", {"walk": False})
    await engine.turn("c", "m", "你好", {"walk": False})
    await engine.close()
    server.shutdown()
    server.server_close()
    assert seen == [(GIVEN, {"walk": False, "request_id": GIVEN}), (None, {"walk": False})]


def call_of(action, context):
    message = {"text": "x", "metadata": {"context": context, "message_id": "m", "text": "x"}}
    return {
        "next_action": action, "sender_id": "c-1", "domain": {},
        "tracker": {"sender_id": "c-1", "slots": {}, "events": [], "latest_message": message},
    }  # fmt: skip


@pytest.mark.parametrize(("action", "status"), [("action_status", 200)])
async def test_the_action_webhook_reads_it_back(merged, sessions_of_actions, action, status):
    transport = httpx.ASGITransport(create_actions_app("t"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://actions.test") as http:
        response = await http.post("/webhook/t", json=call_of(action, {"request_id": GIVEN}))
    assert response.status_code == status, response.text
    (line,) = lines(merged, "action")
    assert (line["action"], line["request_id"], line["conversation"]) == (action, GIVEN, "c-1")


@pytest.fixture
def sessions_of_actions(deployment, migrated):
    import shutil

    deployment.mkdir(exist_ok=True)
    shutil.copy(migrated, deployment / "hotline.db")


async def test_an_engine_that_fails_is_logged_under_it_and_counted(hotline, merged):
    from prometheus_client import REGISTRY

    def failures():
        return REGISTRY.get_sample_value("hotline_engine_failures_total", {"reason": "ReadTimeout"}) or 0

    before = failures()
    hotline.engine.script["坏了"] = EngineFailed("ReadTimeout: slow")
    talk = await hotline.open()
    await talk.say("坏了")
    (line,) = lines(merged, "turn_failed")
    assert line["conversation"] == talk.id and uuid.UUID(line["request_id"])
    assert failures() == before + 1


async def test_what_staff_do_is_logged_once_it_is_a_fact(hotline, merged):
    from bot import audit

    with request_ids.within(GIVEN), hotline.sessions.begin() as session:
        audit.record(session, "staff:wang", "claim", "conversation:c-1", now=hotline.clock())
        audit.record(session, "staff:wang", "staff.password", "staff:li", now=hotline.clock())
        assert lines(merged, "act") == []
    (line,) = lines(merged, "act")
    assert (line["action"], line["conversation"], line["request_id"]) == ("claim", "c-1", GIVEN)
    assert "wang" not in str(merged) and "li" not in str(line)
    with hotline.sessions() as session:
        audit.record(session, "staff:wang", "case.read", "case:1", now=hotline.clock())
        session.rollback()
        session.commit()
    assert len(lines(merged, "act")) == 1


def test_ids_are_logged_as_they_are_and_everything_else_is_masked():
    looks_like_a_phone = "a13904321187bcdefabcdefabcdefabc"
    event = {"conversation": looks_like_a_phone, "error": looks_like_a_phone, "request_id": "13904321187"}
    assert logs._mask(None, "", event) == {
        "conversation": looks_like_a_phone,
        "error": "a139****1187bcdefabcdefabcdefabc",
        "request_id": "139****1187",
    }
