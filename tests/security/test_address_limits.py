"""Limits per address, conversation, phone and case; and that there is one kind of limiter for all of them."""

import ast
import shutil

import httpx
import pytest

from bot.channels.addresses import inside
from bot.channels.limits import SharedBuckets, TokenBuckets, Unlimited, address_key
from bot.settings import ROOT, Settings
from tests.harness import Talk
from tests.security.conftest import KANNEL


def client(hotline, address):
    """A citizen's browser at an address."""
    transport = httpx.ASGITransport(hotline.app, client=(address, 1234), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hotline.test")


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_what_an_address_is_counted_under(host, key):
    assert address_key(host) == key


async def test_an_address_asks_so_often_whatever_it_asks_for(make_hotline):
    hotline = make_hotline(rate_limits="on", requests_per_minute=5)
    stranger, other = client(hotline, "203.0.113.9"), client(hotline, "203.0.113.10")
    for path in ("/", "/nothing", "/api/v1/conversations/x/messages", "/readyz", "/openapi.json"):
        assert (await stranger.get(path)).status_code != 429
    for path in ("/", "/api/v1/conversations/x/messages", "/healthz"):
        response = await stranger.get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many")
        assert int(response.headers["retry-after"]) >= 1
    assert (await other.get("/")).status_code == 200


async def test_an_address_of_ipv6_is_its_network(make_hotline):
    hotline = make_hotline(rate_limits="on", conversations_per_minute=2)
    statuses = []
    for last in range(3):
        async with client(hotline, f"2001:db8:1:2::{last:x}") as http:
            opened = await http.post("/api/v1/conversations", json={"channel": "widget"})
            statuses.append(opened.status_code)
    assert statuses == [201, 201, 429]


async def test_a_conversation_says_so_much(make_hotline):
    hotline = make_hotline(rate_limits="on", messages_per_minute=2)
    talk, other = await hotline.open(), await hotline.open()
    statuses = [(await talk.send(f"第{n}条")).status_code for n in range(3)]
    assert statuses == [200, 200, 429]
    assert (await other.send("你好")).status_code == 200
    # From any address: the token is what counts.
    async with client(hotline, "203.0.113.10") as http:
        elsewhere = Talk.__new__(Talk)
        elsewhere.__dict__ |= talk.__dict__ | {"http": http}
        assert (await elsewhere.send("换个地方")).status_code == 429


async def test_a_gateway_that_proves_itself_is_not_one_address(make_with):
    hotline = make_with(**KANNEL, rate_limits="on", requests_per_minute=1)
    async with client(hotline, "203.0.113.9") as http:
        for n in range(5):
            query = {"key": "key", "id": f"i{n}", "from": f"1380013800{n}"}
            assert (await http.post("/channels/sms/kannel", params=query, content="你好")).status_code == 200


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 200), ("192.168.1.9", 200), ("203.0.113.9", 404),
     ("8.8.8.8", 404), ("2400:3200::1", 404), ("unknown", 404)],
)  # fmt: skip
async def test_metrics_are_told_inside_only(hotline, address, status):
    if address == "203.0.113.9":
        pytest.importorskip("ipaddress")
        address = "223.5.5.5"  # Addresses for documentation count as private.
    async with client(hotline, address) as http:
        response = await http.get("/metrics")
    assert response.status_code == status
    assert ("hotline_messages_total" in response.text) == (status == 200)


def test_without_a_caller_nobody_is_inside():
    from starlette.requests import HTTPConnection

    assert not inside(HTTPConnection({"type": "http", "headers": [], "client": None}))


def test_all_limits_go_one_way():
    """Nobody makes buckets of their own: with a Redis all processes of a deployment count together."""
    users = {}
    for path in (*(ROOT / "bot").rglob("*.py"), *(ROOT / "actions").rglob("*.py")):
        names = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for name in names & {"TokenBuckets", "SharedBuckets", "limiter", "limiter_of"}:
            users.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    own = {"bot/channels/limits.py"}
    assert users["TokenBuckets"] == users["SharedBuckets"] == users["limiter"] == own
    assert users["limiter_of"] == {
        "bot/channels/app.py", "bot/channels/doors.py", "bot/desk/app.py", "actions/status.py",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, TokenBuckets),
        ({"redis_url": "redis://127.0.0.1:9/0"}, SharedBuckets),
        ({"rate_limits": "off"}, Unlimited),
    ],
)
def test_limits_of_gateway_and_desk_by_settings(make_hotline, make_desk, settings, kind):
    settings = {"rate_limits": "on"} | settings
    hotline, desk = make_hotline(**settings), make_desk(**settings)
    for limit in (
        hotline.app.state.sent,
        hotline.app.state.opened,
        hotline.app.state.senders,
        desk.app.state.log_ins,
    ):
        assert isinstance(limit, kind)
    assert Unlimited().take("a") == 0


async def test_a_cases_proof_cannot_be_guessed_through_by_many_conversations(hotline, monkeypatch):
    """The query code of an anonymous case: six digits, twenty guesses at once, then one a minute."""
    from actions import status
    from bot.channels.limits import limiter_of

    now = [0.0]
    limit = limiter_of(Settings(rate_limits="on"), "guesses", 1, status.ATTEMPTS_A_CASE)
    limit.clock = lambda: now[0]
    monkeypatch.setattr(status, "_guesses", lambda: limit)
    number = "JL-T-261122-00001-6"
    said = []
    for n in range(30):
        talk = await hotline.open()
        said.append(status._answer(talk.id, f"{number if n % 2 else '261122000016'} {100_000 + n}")["text"])
    assert said[:20] == [status.SAY["not_found"]] * 20
    assert said[20:] == [status.SAY["locked"]] * 10
    now[0] += 61
    talk = await hotline.open()
    assert status._answer(talk.id, f"{number} 100099")["text"] == status.SAY["not_found"]


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
async def test_log_ins_of_two_desks_count_together(make_desk, tmp_path):
    import socket
    import subprocess

    import redis

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        for _ in range(600):
            try:
                client.ping()
                break
            except redis.RedisError:
                import time

                time.sleep(0.05)
        desk = make_desk(rate_limits="on", redis_url=f"redis://127.0.0.1:{port}/0")
        from bot.channels import limits

        limits_seconds, limits.REDIS_SECONDS = limits.REDIS_SECONDS, 5.0
        try:
            one, two = desk.client(app=desk.make_app()), desk.client(app=desk.make_app())
            statuses = []
            for n in range(36):
                http = one if n % 2 else two
                statuses.append(
                    (await http.post("/login", json={"username": "nobody", "password": "x"})).status_code
                )
        finally:
            limits.REDIS_SECONDS = limits_seconds
        assert statuses[:30] == [401] * 30
        assert 429 in statuses[30:]
    finally:
        process.terminate()
        process.wait()
