"""What the real processes open to the network and to neighbours on the machine: ports, routes, files, command lines."""

from __future__ import annotations

import socket
import stat
import time

import httpx
import psutil
import pytest

PATIENCE = 60
# Rasa's HTTP API and channels, and our own doors that are for this machine or for staff.
INSIDE = (
    "/webhooks/turn/webhook", "/webhooks/turn/", "/webhooks/rest/webhook", "/webhooks/rest", "/webhook", "/webhook/x",
    "/model/parse", "/model/test/intents", "/model/predict", "/model/train", "/model", "/status", "/version", "/domain",
    "/conversations/x/tracker", "/conversations/x/tracker/events", "/conversations/x/execute",
    "/conversations/x/trigger_intent", "/conversations/x/story", "/actions", "/health", "/api/v1/cases",
    "/api/v1/cases/export.csv", "/api/v1/queue", "/api/v1/copilot/suggest", "/api/v1/staff", "/api/v1/me", "/login",
    "/account", "/_nicegui/x", "/_nicegui_ws/socket.io/", "/docs", "/redoc", "/debug", "/.env", "/.git/config",
    "/var/hotline.db", "/static/../../../var/data.key", "/static/%2e%2e/app.py", "/static/..%2f..%2fsettings.py",
)  # fmt: skip


def processes(instance):
    """(name, process) of every child and its children."""
    for child in instance.supervisor.children:
        root = psutil.Process(child.process.pid)
        for process in (root, *root.children(recursive=True)):
            yield child.name, process


def test_only_the_public_port_is_open_to_the_network(instance) -> None:
    config = instance.config
    found = {
        (name, connection.laddr.ip, connection.laddr.port)
        for name, process in processes(instance)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
        or (connection.type == socket.SOCK_DGRAM and not connection.raddr)
    }
    assert found == {
        ("gateway", "0.0.0.0", config.port),
        ("gateway", "127.0.0.1", config.actions_port),
        ("engine", "127.0.0.1", config.engine_port),
        ("desk", "127.0.0.1", config.desk_port),
    }


def own_addresses() -> list[str]:
    return [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]


def test_from_another_address_of_this_machine_nothing_else_answers(instance) -> None:
    config = instance.config
    # Any address of 127.0.0.0/8 is this machine, and none but 127.0.0.1 is what the others listen on.
    for address in ("127.0.0.2", *own_addresses()):
        for port, is_open in (
            (config.port, True), (config.engine_port, False), (config.actions_port, False), (config.desk_port, False),
        ):  # fmt: skip
            with socket.socket() as probe:
                probe.settimeout(10)
                assert (probe.connect_ex((address, port)) == 0) == is_open, (address, port)


@pytest.mark.parametrize("path", INSIDE)
def test_the_public_port_has_no_door_of_engine_actions_or_desk(instance, path) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        response = instance.http.request(method, path, json={"sender": "x", "message": "hi", "text": "hi"})
        assert response.status_code in (404, 405), (method, path, response.text)
        assert set(response.json()["error"]) >= {"code", "message"}
        assert "rasa" not in response.text.lower()


def test_the_public_port_speaks_no_websocket(instance) -> None:
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    assert instance.http.get("/socket.io/", headers=headers).status_code == 404


def test_the_inner_doors_want_their_tokens(instance) -> None:
    engine = f"http://127.0.0.1:{instance.config.engine_port}"
    actions = f"http://127.0.0.1:{instance.config.actions_port}"
    turn = {"conversation_id": "c1", "message_id": "m1", "text": "你好"}
    for headers in ({}, {"Authorization": "Bearer x"}):
        assert (
            instance.http.post(f"{engine}/webhooks/turn/webhook", json=turn, headers=headers).status_code
            == 401
        )
    for path in ("/webhooks/rest/webhook", "/conversations/c1/tracker", "/model/parse", "/domain"):
        assert instance.http.post(f"{engine}{path}", json={"text": "x"}).status_code in (401, 404, 405), path
    assert instance.http.post(f"{actions}/webhook/guess", json={}).status_code == 401
    assert instance.http.get(f"{actions}/").status_code == 404


def test_no_secret_stands_on_a_command_line(instance) -> None:
    config = instance.config
    gateway = instance.supervisor.gateway.environment
    secret = [
        config.key, config.sms_password, config.sms_secret, gateway["HOTLINE_ENGINE_TOKEN"], gateway["HOTLINE_ACTIONS_TOKEN"],
    ]  # fmt: skip
    assert all(len(value) > 10 for value in secret)
    for name, process in processes(instance):
        line = " ".join(process.cmdline())
        assert not [value for value in secret if value in line], name


def test_the_engine_knows_neither_key_nor_passwords(instance) -> None:
    engine = next(process for name, process in processes(instance) if name == "engine")
    told = {name for name in engine.environ() if name.startswith("HOTLINE_")}
    assert told == {"HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_URL"}


def test_neighbours_on_the_machine_read_no_file(instance, talk) -> None:
    talk.say("你好")
    home = instance.config.home_dir
    assert stat.S_IMODE(home.stat().st_mode) & 0o066 == 0
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"hotline.db", "gateway.log", "engine.log", "desk.log"} <= {path.name for path in files}
    closed = {
        path for path in home.rglob("*") if path.is_dir() and stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    }
    for path in files:
        open_way = not any(parent in closed for parent in path.parents)
        assert not (open_way and stat.S_IMODE(path.stat().st_mode) & 0o077), (path, oct(path.stat().st_mode))


def test_half_requests_are_dropped_and_others_are_served_meanwhile(instance) -> None:
    slow = [
        socket.create_connection(("127.0.0.1", instance.config.port), timeout=PATIENCE) for _ in range(40)
    ]
    for connection in slow:
        connection.sendall(b"POST /api/v1/conversations HTTP/1.1\r\nHost: a\r\nX-")
    began = time.monotonic()
    assert instance.talk().say("你好")
    for connection in slow:
        got = b""
        while piece := connection.recv(4096):
            got += piece
        assert got.startswith(b"HTTP/1.1 408")
        connection.close()
    assert time.monotonic() - began < PATIENCE


def test_an_address_cannot_take_all_connections(instance) -> None:
    most = instance.config.connections_per_address
    held = []
    refused = 0
    for _ in range(most + 20):
        connection = socket.create_connection(("127.0.0.1", instance.config.port), timeout=PATIENCE)
        held.append(connection)
    for connection in held:
        connection.setblocking(False)
    deadline = time.monotonic() + PATIENCE
    while refused < 15 and time.monotonic() < deadline:
        refused = 0
        for connection in held:
            try:
                refused += connection.recv(10, socket.MSG_PEEK) == b""
            except BlockingIOError:
                continue
            except ConnectionResetError:
                refused += 1
        time.sleep(0.1)
    for connection in held:
        connection.close()
    assert refused >= 15
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with httpx.Client(trust_env=False, timeout=10) as fresh:
                assert fresh.get(f"http://127.0.0.1:{instance.config.port}/healthz").status_code == 200
            break
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
