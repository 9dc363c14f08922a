"""One id finds one turn in the logs of all real processes: gateway, action webhook, outbox."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest

from bot.channels.sms_gateways import signature
from bot.processes import Child, engine_command, environment, train
from bot.settings import ROOT, Settings
from bot.storage import upgrade
from tests.e2e.citizen import Talk
from tests.e2e.conftest import free_port

PHONE = "13904321187"
SECRET = "s" * 24


class Department(http.server.BaseHTTPRequestHandler):
    """A department's webhook, or an SMS provider: takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"id": uuid.uuid4().hex}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def provider():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Department)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/sms"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def hotline(tmp_path_factory, provider):
    """Engine and gateway as processes of their own, as systemd starts them; (settings, folder of logs)."""
    home: Path = tmp_path_factory.mktemp("home")
    config = Settings(
        home=home, model=Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models"), database_url="", key="",
        engine_url="", rate_limits="off", desk="off", port=free_port(), engine_port=free_port(),
        actions_port=free_port(), sms_gateway="json", sms_url=provider, sms_secret=SECRET,
    )  # fmt: skip
    model = train(config)
    upgrade(config.database)
    shared = environment(config, "e" * 32, "a" * 32)
    python = str(ROOT / ".venv" / "bin" / "python")
    children = [
        Child("engine", engine_command(model, config.engine_port), shared, home / "engine.log"),
        Child("gateway", [python, "-m", "bot.channels.serve"], shared, home / "gateway.log"),
    ]
    try:
        for child in children:
            child.start()
        until(lambda: ready(config), f"not ready; see {home}", 180)
        yield config, home
    finally:
        for child in reversed(children):
            child.stop()


def until(condition, what, patience=60.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def ready(config):
    try:
        return httpx.get(f"http://127.0.0.1:{config.port}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def lines(home, request_id):
    """What is logged under an id, by event."""
    found: dict[str, list[dict]] = {}
    for line in (home / "gateway.log").read_text("utf-8").splitlines():
        if request_id in line and line.startswith("{"):
            entry = json.loads(line)
            found.setdefault(entry["event"], []).append(entry)
    return found


def test_a_turn_of_the_widget(hotline):
    config, home = hotline
    with httpx.Client(base_url=f"http://127.0.0.1:{config.port}", trust_env=False, timeout=60) as http:
        talk = Talk(http)
        request_id = uuid.uuid4().hex
        talk.headers["X-Request-ID"] = request_id
        answered = talk.send(f"我要投诉鑫隆旺超市卖的口罩是坏的，电话{PHONE}")
    assert (answered.status_code, answered.headers["x-request-id"]) == (200, request_id)
    until(lambda: "request" in lines(home, request_id), "no line of the request")
    found = lines(home, request_id)
    # The gateway's public side, the turn, and what the engine called back: all of one conversation.
    assert {"request", "turn", "action"} <= set(found)
    assert {entry["conversation"] for entries in found.values() for entry in entries} == {talk.id}
    assert found["turn"][0]["kinds"] == ["complaint"]


def test_a_turn_by_sms_from_the_door_to_the_outbox(hotline):
    """What comes by SMS is answered after the acknowledgement, and its reply leaves by the outbox."""
    config, home = hotline
    request_id = uuid.uuid4().hex
    body = json.dumps(
        {"id": uuid.uuid4().hex, "from": PHONE, "text": "我要投诉鑫隆旺超市卖的口罩是坏的"}
    ).encode()
    timestamp, nonce = str(int(time.time())), uuid.uuid4().hex
    headers = {
        "X-Request-ID": request_id,
        "X-Hotline-Timestamp": timestamp,
        "X-Hotline-Nonce": nonce,
        "X-Hotline-Signature": signature(SECRET, timestamp, nonce, body),
    }
    url = f"http://127.0.0.1:{config.port}/channels/sms/json"
    assert httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60).status_code == 200
    until(lambda: "delivery_sent" in lines(home, request_id), "the reply did not leave")
    found = lines(home, request_id)
    assert {"request", "turn", "action", "delivery_sent"} <= set(found)
    talks = {entry["conversation"] for name in ("turn", "action", "delivery_sent") for entry in found[name]}
    assert len(talks) == 1
    assert uuid.UUID(found["delivery_sent"][0]["delivery"])


def test_an_error_is_found_by_what_the_citizen_was_told(hotline):
    config, home = hotline
    answer = httpx.get(f"http://127.0.0.1:{config.port}/api/v1/conversations/x/messages", trust_env=False)
    told = answer.json()["error"]["request_id"]
    until(lambda: "request" in lines(home, told), "no line of the request")
    assert lines(home, told)["request"][0]["status"] == answer.status_code == 401


def test_no_log_holds_a_phone_number(hotline):
    _, home = hotline
    for path in home.glob("*.log"):
        assert PHONE not in path.read_text("utf-8", "replace"), path
