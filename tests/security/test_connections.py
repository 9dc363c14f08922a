"""Slow and greedy clients on real sockets, without nginx in front: no connection is held for long."""

import asyncio
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from bot.channels import connections
from bot.channels.bodies import BodyLimit
from bot.channels.connections import bounded
from bot.errors import Problem

PATIENCE = 40  # seconds in which a bound of a second or two must have struck, on whatever machine
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n"


async def echo(request):
    return PlainTextResponse(await request.body())


async def think(request):
    await asyncio.sleep(2.5)
    return PlainTextResponse("thought")


async def endless(request):
    async def pieces():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def quiet(request):
    async def pieces():
        yield b"first\n"
        await asyncio.sleep(3)
        yield b"last\n"

    return StreamingResponse(pieces())


class Served:
    """A server in a thread of its own."""

    def __init__(self, per_address):
        routes = [Route(f"/{f.__name__}", f, methods=["GET", "POST"]) for f in (echo, think, endless, quiet)]
        app = Starlette(routes=routes)
        app.add_middleware(
            BodyLimit,
            most=lambda _: (1000, Problem.TOO_LARGE),
            refuse=lambda error: PlainTextResponse(error.problem.code, error.problem.status),
        )
        self.protocol = bounded(per_address)
        self.server = uvicorn.Server(
            uvicorn.Config(
                app, port=0, http=self.protocol, ws="none", log_config=None, timeout_graceful_shutdown=1
            )
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        until(lambda: self.server.started)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def connect(self):
        made = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return made

    @property
    def held(self):
        return sum(self.protocol.addresses.values())

    def stop(self):
        self.server.should_exit = True
        self.thread.join(PATIENCE)


def until(reached):
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def serve(monkeypatch):
    for name, value in (
        ("HEAD_SECONDS", 1.5), ("BODY_SECONDS", 1.5), ("LINGER_SECONDS", 0.5), ("WRITE_SECONDS", 1.0), ("BODY_RATE", 10),
    ):  # fmt: skip
        monkeypatch.setattr(connections, name, value)
    made = []

    def make(per_address=0):
        made.append(Served(per_address))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def served(serve):
    return serve()


def rest(client):
    """Everything until the server closes."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def answered(got):
    """(status, error code or text) of the last response in what came."""
    head, _, body = got.rpartition(b"\r\n\r\n")
    status = int(head.rpartition(b"HTTP/1.1 ")[2][:3])
    try:
        return status, json.loads(body)["error"]["code"]
    except (ValueError, TypeError):
        return status, body.decode()


def drip(client, piece, pause=0.1):
    """Send a piece again and again until the server has enough."""
    client.settimeout(pause)
    got, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            client.sendall(piece)
            more = client.recv(65536)
            if not more:
                return got
            got += more
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return got
    raise AssertionError(f"still served after {PATIENCE} s")


def test_who_says_nothing_is_closed(served):
    with served.connect() as client:
        assert answered(rest(client)) == (408, "too_slow")
    until(lambda: served.held == 0)


def test_a_head_that_never_ends_is_closed(served):
    with served.connect() as client:
        client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\nX-")
        assert answered(drip(client, b"a")) == (408, "too_slow")


def test_headers_one_by_one_are_closed(served):
    with served.connect() as client:
        client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\n")
        assert answered(drip(client, b"X-A: b\r\n", pause=0.2)) == (408, "too_slow")


def test_empty_lines_for_ever_are_closed(served):
    with served.connect() as client:
        client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        drip(client, b"\r\n")
    until(lambda: served.held == 0)


def test_a_body_that_trickles_is_cut_off(served):
    with served.connect() as client:
        client.sendall(POST + b"Content-Length: 900\r\n\r\n")
        assert drip(client, b"x", pause=0.3) == b""
    until(lambda: served.held == 0 and not served.server.server_state.tasks)


def test_a_body_that_never_comes_is_cut_off(served):
    with served.connect() as client:
        client.sendall(POST + b"Content-Length: 900\r\n\r\n")
        assert rest(client) == b""


def test_a_slow_body_that_keeps_coming_passes(served):
    with served.connect() as client:
        client.sendall(POST + b"Content-Length: 400\r\nConnection: close\r\n\r\n")
        for _ in range(10):  # 40 bytes earn four seconds each; all of it takes longer than the first bound
            client.sendall(b"x" * 40)
            time.sleep(0.25)
        assert answered(rest(client)) == (200, "x" * 400)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /echo?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 70 + b"\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 20_000,
    ],
    ids=["header", "query", "seventy headers", "a header without an end"],
)
def test_a_large_head_is_refused(served, head):
    with served.connect() as client:
        client.sendall(head)
        assert answered(rest(client)) == (431, "head_too_large")


def test_a_head_as_large_as_may_be_passes(served):
    with served.connect() as client:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: " + b"a" * 15_000 + b"\r\n\r\n"
        )
        assert answered(rest(client))[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=[
        "tls",
        "ssh",
        "nul",
        "blank before colon",
        "two lengths (smuggling)",
        "two content-lengths",
        "no chunk",
    ],
)
def test_what_is_no_clean_http_is_refused(served, raw):
    with served.connect() as client:
        client.sendall(raw)
        got = rest(client)
    assert answered(got) == (400, "not_http")
    assert b"x-content-type-options: nosniff" in got


def test_a_body_nobody_wants_is_not_read_for_ever(served):
    with served.connect() as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        got = drip(client, b"200\r\n" + b"x" * 512 + b"\r\n", pause=0.05)
    assert got.startswith(b"HTTP/1.1 413") and got.endswith(b"too_large")


def test_who_does_not_read_the_answer_is_cut_off(served):
    with served.connect() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: served.held == 1)
        until(lambda: served.held == 0 and not served.server.server_state.tasks)


@pytest.mark.parametrize("path", ["think", "quiet"])
def test_an_answer_may_take_its_time(served, path):
    with served.connect() as client:
        client.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        got = rest(client)
    assert got.startswith(b"HTTP/1.1 200") and (b"thought" in got or b"last" in got)


def test_requests_sent_ahead_are_answered_in_order(served, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.4)  # less than the first answer takes
    one = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
    with served.connect() as client:
        client.sendall(
            b"GET /think HTTP/1.1\r\nHost: a\r\n\r\n"
            + one
            + b"1"
            + one
            + b"2"
            + b"GET /echo HTTP/1.1\r\nHost: a\r\n"
        )
        # The last one's head is not whole while the first is thought about: no reason to cut.
        got = b""
        while b"thought" not in got:
            got += client.recv(65536)
        client.sendall(b"Connection: close\r\n\r\n")
        got += rest(client)
    assert got.count(b"HTTP/1.1 200") >= 3
    assert got.index(b"thought") < got.index(b"\r\n\r\n1") < got.index(b"\r\n\r\n2")


def test_an_address_holds_so_many_connections(serve):
    served = serve(per_address=3)
    held = [served.connect() for _ in range(3)]
    until(lambda: served.held == 3)
    with served.connect() as fourth:
        assert rest(fourth) == b""
    held.pop().close()
    until(lambda: served.held == 2)
    with served.connect() as next:
        next.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answered(rest(next))[0] == 200
    for each in held:
        each.close()
    until(lambda: served.held == 0)


def test_there_is_an_end_to_connections_of_all_together(serve, monkeypatch):
    monkeypatch.setattr(connections, "MOST", 2)
    served = serve()
    held = [served.connect() for _ in range(2)]
    until(lambda: served.held == 2)
    with served.connect() as third:
        assert rest(third) == b""
    for each in held:
        each.close()


def test_the_process_may_open_more_files_than_a_shell(monkeypatch):
    asked = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 1_048_576))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: asked.append(limits))
    connections.allow_files()
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 4096))
    connections.allow_files()
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (70_000, 1_048_576))
    connections.allow_files()
    assert asked == [(connections.FILES, 1_048_576), (4096, 4096)]
