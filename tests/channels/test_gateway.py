"""The gateway around its channels: health, metrics, headers, logs, the action webhook."""

import subprocess
import sys

import httpx
import pytest
from prometheus_client import REGISTRY

from bot.channels.actions_app import create_actions_app
from bot.settings import ROOT


async def test_health_and_readiness(hotline):
    assert (await hotline.http.get("/healthz")).json() == {"status": "ok"}
    ready = await hotline.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "engine": True})
    hotline.engine.up = False
    ready = await hotline.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": True, "engine": False})
    assert (await hotline.http.get("/healthz")).status_code == 200


async def test_an_unprepared_database_is_not_ready(make_hotline, tmp_path):
    hotline = make_hotline(database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    ready = await hotline.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": False, "engine": True})


def metric(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


async def test_metrics_count_what_happened(hotline):
    names = [
        ("hotline_messages_total", {"channel": "widget"}),
        ("hotline_duplicate_deliveries_total", {"channel": "widget"}),
        ("hotline_answers_total", {"kind": "chitchat"}),
        ("hotline_refused_total", {"code": "empty"}),
        ("hotline_turn_seconds_count", {}),
    ]
    before = [metric(name, **labels) for name, labels in names]
    talk = await hotline.open()
    await talk.send("你好", message_id="message-1")
    await talk.send("你好", message_id="message-1")
    await talk.send("")
    assert [metric(n, **labels) - b for (n, labels), b in zip(names, before, strict=True)] == [1, 1, 1, 1, 1]
    shown = (await hotline.http.get("/metrics")).text
    assert all(name in shown for name, _ in names)


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/static/notice.css", "/widget.js", "/api/v1/nothing", "/openapi.json"]
)
async def test_every_response_is_fenced_in(hotline, path):
    headers = (await hotline.http.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-store" if "/api/" in path else "no-cache")
    assert "server" not in headers


async def test_other_origins_may_call_only_if_they_are_named(make_hotline):
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    path = "/api/v1/conversations"
    closed = await make_hotline().http.options(path, headers=asked)
    assert "access-control-allow-origin" not in closed.headers
    named = make_hotline(allowed_origins="https://a.example, https://b.example")
    assert (await named.http.options(path, headers=asked)).headers["access-control-allow-origin"] == asked[
        "origin"
    ]
    other = await named.http.options(path, headers=asked | {"origin": "https://c.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_the_api_describes_itself(hotline):
    described = (await hotline.http.get("/openapi.json")).json()
    assert set(described["paths"]) >= {
        "/api/v1/conversations",
        "/api/v1/conversations/{conversation_id}/messages",
        "/api/v1/conversations/{conversation_id}/events",
    }


LOGGING = """
import logging, structlog
from bot.logs import configure
configure()
try:
    raise ValueError("电话 139 0432 1187")
except ValueError:
    structlog.get_logger().exception("失败 13904321187", error="电话13904321187", text="１３９０４３２１１８７")
    logging.getLogger("uvicorn.error").exception("of a library: 13904321187")
logging.getLogger("other").warning("%s", "13904321187")
"""


def test_logs_hold_no_phone_number():
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("{") and "139****1187" in line for line in lines)
    for number in ("13904321187", "139 0432 1187", "１３９０４３２１１８７"):
        assert number not in done.stderr


class TestWebhook:
    """The engine's way to the actions."""

    @pytest.fixture
    def http(self):
        transport = httpx.ASGITransport(create_actions_app("secret"), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://actions.test")

    @staticmethod
    def call(name):
        tracker = {
            "sender_id": "c1", "slots": {}, "latest_message": {"text": "查进度"}, "events": [],
            "paused": False, "followup_action": None, "active_loop": {}, "latest_action_name": None,
        }  # fmt: skip
        return {"next_action": name, "sender_id": "c1", "tracker": tracker, "domain": {}}

    async def test_only_with_the_token(self, http):
        assert (await http.post("/webhook/wrong", json=self.call("action_status"))).status_code == 401
        assert (await http.post("/webhook/", json=self.call("action_status"))).status_code == 404

    async def test_an_unknown_action_is_told(self, http):
        response = await http.post("/webhook/secret", json=self.call("action_nothing"))
        assert (response.status_code, response.json()["action_name"]) == (404, "action_nothing")

    async def test_a_failure_is_no_empty_success(self, http, monkeypatch, logged):
        def broken(*_):
            raise RuntimeError("电话 13904321187")

        monkeypatch.setattr("actions.status._answer", broken)
        response = await http.post("/webhook/secret", json=self.call("action_status"))
        assert (response.status_code, response.json()) == (500, {"error": "RuntimeError"})
        assert logged[-1]["event"] == "action_failed"
