"""The client of the engine: everything that is no proper answer is `EngineFailed`, in time."""

import asyncio
import json
import time

import httpx
import pytest

from bot.conversations.engine import Decision, EngineFailed, HttpEngine

GOOD = {"replies": [{"compose": "policy"}], "reading": {"intent": "policy"}, "entities": []}


def engine(handler, timeout=1.0):
    made = HttpEngine("http://engine.test", "secret", timeout)
    made._client._transport = httpx.MockTransport(handler)
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
    made._client._transport = httpx.MockTransport(handler)
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
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=GOOD)

    engines = several(handler)
    for n in range(3):
        assert (await engines.turn("c1", f"m{n}", "你好", {})).payloads == GOOD["replies"]
    assert await engines.alive() is True


@pytest.mark.parametrize("error", [httpx.ReadError("gone"), httpx.RemoteProtocolError("gone")])
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
        raise httpx.ReadTimeout("slow")

    with pytest.raises(EngineFailed, match="ReadTimeout"):
        await several(handler).turn("c1", "m1", "你好", {})
    assert len(seen) == 1


async def test_with_all_engines_down_the_turn_fails():
    def handler(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(EngineFailed, match="ConnectError"):
        await several(handler).turn("c1", "m1", "你好", {})
    assert await several(handler).alive() is False


def test_no_engine_at_all_is_said_at_once():
    with pytest.raises(ValueError, match="HOTLINE_ENGINE_URL"):
        HttpEngine(" , ", "secret", 1.0)
