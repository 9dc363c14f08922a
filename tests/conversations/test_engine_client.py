"""The client of the engine: everything that is no proper answer is `EngineFailed`, in time."""

import asyncio
import inspect
import json
import time

import aiohttp
import httpx
import pytest

from bot.conversations import engine as module
from bot.conversations.engine import Decision, EngineFailed, HttpEngine

GOOD = {"replies": [{"compose": "policy"}], "reading": {"intent": "policy"}, "entities": []}


def answered_by(handler):
    """A client's requests, answered by a function in place of a socket."""

    async def request(method, url, body=None, request_id=None):
        headers = {"x-hotline-token": "secret"} | ({"x-request-id": request_id} if request_id else {})
        found = handler(httpx.Request(method, url, json=body, headers=headers))
        response = await found if inspect.isawaitable(found) else found
        return response.status_code, response.content

    return request


def engine(handler, timeout=1.0):
    made = HttpEngine("http://engine.test", "secret", timeout)
    made._request = answered_by(handler)
    return made


async def test_a_turn():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(200, json=GOOD)

    decision = await engine(handler).turn("c1", "m1", "你好", {"focus": [9]})
    assert decision == Decision(GOOD["replies"], GOOD["reading"], [])
    [request] = seen
    assert request.url == "http://engine.test/webhooks/turn/webhook"
    assert request.headers["x-hotline-token"] == "secret"
    assert b'"context":{"focus":[9]}' in request.content


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401, json={"error": "token"}),
        httpx.Response(500, json={"error": "RuntimeError"}),
        httpx.Response(200, text="not json"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"replies": []}),
        httpx.Response(200, json={"replies": None, "reading": {}, "entities": []}),
        httpx.Response(302, headers={"location": "http://elsewhere.test/"}),
    ],
    ids=["401", "500", "text", "list", "incomplete", "null", "redirect"],
)
async def test_what_is_no_answer_is_a_failure(response):
    with pytest.raises(EngineFailed):
        await engine(lambda _: response).turn("c1", "m1", "你好", {})


async def test_a_refused_connection_is_a_failure():
    silent = HttpEngine("http://127.0.0.1:9", "secret", 1.0)
    with pytest.raises(EngineFailed):
        await silent.turn("c1", "m1", "你好", {})
    assert await silent.alive() is False
    await silent.close()


async def test_a_trickle_of_bytes_does_not_outlast_the_bound():
    async def trickle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    slow = HttpEngine(f"http://127.0.0.1:{port}", "secret", 0.3)
    begun = time.monotonic()
    with pytest.raises(EngineFailed, match="TimeoutError"):
        await slow.turn("c1", "m1", "你好", {})
    assert time.monotonic() - begun < 2
    await slow.close()
    server.close()


async def test_alive_asks_the_channels_health():
    assert (
        await engine(lambda request: httpx.Response(200 if request.method == "GET" else 500)).alive() is True
    )
    assert await engine(lambda _: httpx.Response(503)).alive() is False


def several(handler):
    made = HttpEngine("http://one.test, http://two.test/", "secret", 1.0)
    made._request = answered_by(handler)
    return made


async def test_turns_go_round_the_engines():
    seen = []

    def handler(request):
        seen.append(request.url.host)
        return httpx.Response(200, json=GOOD)

    engines = several(handler)
    for n in range(4):
        await engines.turn("c1", f"m{n}", "你好", {})
    assert seen == ["two.test", "one.test"] * 2


async def test_an_engine_that_is_down_is_passed_over():
    def handler(request):
        if request.url.host == "one.test":
            raise aiohttp.ClientConnectionError("refused")
        return httpx.Response(200, json=GOOD)

    engines = several(handler)
    for n in range(3):
        assert (await engines.turn("c1", f"m{n}", "你好", {})).payloads == GOOD["replies"]
    assert await engines.alive() is True


@pytest.mark.parametrize(
    "error", [aiohttp.ServerDisconnectedError("gone"), aiohttp.ClientPayloadError("gone")]
)
async def test_a_turn_whose_engine_dies_goes_to_the_next_under_the_same_id(error):
    seen = []

    def handler(request):
        seen.append((request.url.host, json.loads(request.content)["message_id"]))
        if len(seen) == 1:
            raise error
        return httpx.Response(200, json=GOOD)

    assert (await several(handler).turn("c1", "m1", "你好", {})).payloads == GOOD["replies"]
    assert seen == [("two.test", "m1"), ("one.test", "m1")]


async def test_a_turn_that_takes_too_long_is_not_repeated():
    seen = []

    def handler(request):
        seen.append(request.url.host)
        raise TimeoutError("slow")

    with pytest.raises(EngineFailed, match="TimeoutError"):
        await several(handler).turn("c1", "m1", "你好", {})
    assert len(seen) == 1


async def test_with_all_engines_down_the_turn_fails():
    def handler(request):
        raise aiohttp.ClientConnectionError("refused")

    with pytest.raises(EngineFailed, match="ClientConnectionError"):
        await several(handler).turn("c1", "m1", "你好", {})
    assert await several(handler).alive() is False


def test_no_engine_at_all_is_said_at_once():
    with pytest.raises(ValueError, match="HOTLINE_ENGINE_URL"):
        HttpEngine(" , ", "secret", 1.0)


def hanging(*hung):
    """A client of two engines, of which some answer nothing; what each was asked."""
    asked = []

    async def handler(request):
        asked.append((request.url.host, request.method))
        if request.url.host in hung_now:
            await asyncio.sleep(30)
        return httpx.Response(200, json=GOOD)

    hung_now = set(hung)
    made = HttpEngine("http://one.test,http://two.test", "secret", 0.3)
    made._request = answered_by(handler)
    return made, asked, hung_now


async def test_an_engine_that_hangs_is_left_out_until_it_answers(monkeypatch):
    monkeypatch.setattr(module, "LOOK", 0.1)
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.05)
    made, asked, hung = hanging("one.test")
    failed = 0
    for number in range(6):
        try:
            await made.turn("c1", f"m{number}", "你好", {})
        except EngineFailed:
            failed += 1
    # One citizen found out; the others never met it.
    assert failed == 1
    assert [host for host, method in asked if method == "POST"].count("one.test") == 1
    hung.clear()
    deadline = time.monotonic() + 10
    while made._doubts:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    asked.clear()
    for number in range(2):
        await made.turn("c1", f"n{number}", "你好", {})
    assert {host for host, _ in asked} == {"one.test", "two.test"}
    await made.close()


async def test_when_all_engines_hang_a_turn_fails_at_once(monkeypatch):
    monkeypatch.setattr(module, "LOOK", 0.1)
    made, asked, _ = hanging("one.test", "two.test")
    for number in range(2):
        with pytest.raises(EngineFailed):
            await made.turn("c1", f"m{number}", "你好", {})
    with pytest.raises(EngineFailed, match="no engine answers"):
        await made.turn("c1", "m3", "你好", {})
    assert [method for _, method in asked].count("POST") == 2
    await made.close()


async def test_an_engine_that_was_slow_once_keeps_its_turns():
    slow = ["m1"]

    async def handler(request):
        if slow and request.method == "POST":
            slow.pop()
            await asyncio.sleep(30)
        return httpx.Response(200, json=GOOD)

    made = HttpEngine("http://one.test", "secret", 0.3)
    made._request = answered_by(handler)
    with pytest.raises(EngineFailed):
        await made.turn("c1", "m1", "你好", {})
    assert await made.turn("c1", "m2", "你好", {})
    await made.close()


async def served(answer: bytes):
    """A real server that notes what it is asked, answers `answer` and closes the connection; its URL."""
    asked = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line
        )
        asked.append((head, await reader.readexactly(length)))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, asked, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


async def test_what_goes_over_the_wire():
    server, asked, url = await served(whole(json.dumps(GOOD).encode()))
    made = HttpEngine(url, "a-token", 5.0)
    decision = await made.turn("c1", "m1", "你好", {"focus": [9]})
    assert decision == Decision(GOOD["replies"], GOOD["reading"], [])
    [(head, body)] = asked
    assert head.startswith(b"POST /webhooks/turn/webhook HTTP/1.1\r\n")
    assert b"x-hotline-token: a-token" in head.lower()
    sent = json.loads(body)
    assert (sent["conversation_id"], sent["message_id"], sent["text"]) == ("c1", "m1", "你好")
    await made.close()
    server.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"], ids=["none", "half"]
)
async def test_a_connection_that_breaks_takes_the_turn_to_the_next_engine(answer):
    dying, asked, one = await served(answer)
    living, taken, two = await served(whole(json.dumps(GOOD).encode()))
    made = HttpEngine(f"{two},{one}", "a-token", 5.0)
    assert (await made.turn("c1", "m1", "你好", {})).payloads == GOOD["replies"]
    assert (len(asked), len(taken)) == (1, 1)
    await made.close()
    dying.close()
    living.close()


async def test_an_engine_without_a_model_is_passed_over():
    def handler(request):
        return httpx.Response(500 if request.url.host == "one.test" else 200, json=GOOD)

    made = HttpEngine("http://one.test,http://two.test", "secret", 1.0)
    made._request = answered_by(handler)
    for number in range(4):
        assert await made.turn("c1", f"m{number}", "你好", {})
    await made.close()


async def test_an_engine_that_ignores_the_message_is_passed_over():
    silent = {"replies": [], "reading": {}, "entities": []}

    def handler(request):
        return httpx.Response(200, json=silent if request.url.host == "two.test" else GOOD)

    assert (await several(handler).turn("c1", "m1", "你好", {})).payloads == GOOD["replies"]
    with pytest.raises(EngineFailed, match="no model"):
        await engine(lambda _: httpx.Response(200, json=silent)).turn("c1", "m1", "你好", {})
