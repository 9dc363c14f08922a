import asyncio
import json
import multiprocessing
import os
import signal
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from sqlalchemy import select

from bot.crypto import DataKey, set_data_key
from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused, Retry, Worker
from bot.storage import DatabaseDown, make_engine, make_sessions
from tests.outbox.test_queue import put, state


class Receiver:
    """Takes deliveries, fails as told, and knows each delivery id once."""

    def __init__(self):
        self.calls, self.taken, self.steps = [], {}, []

    async def send(self, delivery):
        self.calls.append(delivery.delivery_id)
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            await step()
        self.taken.setdefault(delivery.delivery_id, delivery.payload)
        return f"x{len(self.taken)}"


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def worker(sessions, receiver, clock):
    return Worker(sessions, {"sms": receiver}, now=clock, interval=0.01)


def queued(sessions, now, *keys, **more):
    with sessions.begin() as session:
        for key in keys or "1":
            put(session, now, key, **more)


async def test_what_is_due_is_sent_once(sessions, worker, receiver, clock):
    queued(sessions, clock(), "1", "2")
    assert [await worker.once() for _ in range(3)] == [1, 1, 0]
    assert [p["n"] for p in receiver.taken.values()] == ["1", "2"]
    assert (state(sessions).state, state(sessions).external_id) == ("sent", "x1")


@pytest.mark.parametrize(
    ("step", "expected", "error"),
    [
        (Retry("busy"), "pending", "busy"),
        (ValueError("13904321187"), "pending", "ValueError"),
        (Refused("no such number"), "dead", "no such number"),
    ],
)
async def test_a_failure_is_recorded(sessions, worker, receiver, clock, step, expected, error):
    queued(sessions, clock())
    receiver.steps = [step]
    assert await worker.once() == 1
    assert (state(sessions).state, state(sessions).last_error) == (expected, error)
    clock.advance(seconds=12)
    assert await worker.once() == (expected == "pending")
    assert len(receiver.taken) == (expected == "pending")


async def test_the_receivers_wait_is_kept(sessions, worker, receiver, clock):
    queued(sessions, clock())
    receiver.steps = [Retry("429", after=300)]
    await worker.once()
    clock.advance(seconds=299)
    assert await worker.once() == 0
    clock.advance(seconds=1)
    assert await worker.once() == 1


async def test_a_receiver_that_hangs_is_given_up_before_the_lease_ends(sessions, receiver, clock):
    worker = Worker(sessions, {"sms": receiver}, now=clock, seconds=0.1)
    queued(sessions, clock())
    receiver.steps = [lambda: asyncio.sleep(30)]
    assert await worker.once() == 1
    assert state(sessions).last_error == "TimeoutError"


async def test_a_kind_without_an_adapter_waits(sessions, worker, clock):
    queued(sessions, clock(), kind="wechat")
    assert await worker.once() == 0
    assert state(sessions).state == "pending"


async def test_run_goes_on_after_a_database_outage_and_does_not_send_twice(
    sessions, receiver, clock, monkeypatch
):
    worker = Worker(sessions, {"sms": receiver}, now=clock, interval=0.01)
    queued(sessions, clock())
    down = threading.Event()
    record, lease = queue.sent, queue.lease

    def broken(call):
        def maybe(*arguments, **named):
            if down.is_set():
                raise DatabaseDown("gone")
            return call(*arguments, **named)

        return maybe

    monkeypatch.setattr(queue, "sent", broken(record))
    monkeypatch.setattr(queue, "lease", broken(lease))

    async def goes_down():
        down.set()

    receiver.steps = [goes_down]
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        while not down.is_set():
            await asyncio.sleep(0.01)
    assert (len(receiver.calls), state(sessions).state) == (1, "leased")
    down.clear()
    queued(sessions, clock(), "2")
    async with asyncio.timeout(10):
        while len(receiver.calls) < 2 or state(sessions, "2").state != "sent":
            await asyncio.sleep(0.02)
    running.cancel()
    assert state(sessions).state == "sent"
    assert len(receiver.calls) == len(receiver.taken) == 2


async def test_a_woken_worker_looks_at_once(sessions, receiver, clock):
    worker = Worker(sessions, {"sms": receiver}, now=clock, interval=60)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.2)
    queued(sessions, clock())
    worker.wake()
    async with asyncio.timeout(20):
        while not receiver.taken:
            await asyncio.sleep(0.01)
    running.cancel()


# kill -9


class Killer:
    """Posts the delivery to the receiver and is killed before it can say so."""

    def __init__(self, url):
        self.url = url

    async def send(self, delivery):
        async with httpx.AsyncClient(trust_env=False) as http:
            body = {"id": delivery.delivery_id, "n": delivery.payload["n"]}
            await http.post(self.url, json=body)
        os.kill(os.getpid(), signal.SIGKILL)


def killed(database_url, url, now):
    """Run a worker that dies between send and sent."""
    set_data_key(DataKey(bytes(range(32))))
    worker = Worker(make_sessions(make_engine(database_url)), {"sms": Killer(url)}, now=lambda: now)
    asyncio.run(worker.once())


@pytest.fixture
def receiving():
    """An HTTP receiver on loopback and the bodies it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", got
    server.shutdown()
    server.server_close()


async def test_kill_9_between_send_and_sent_leads_to_a_retry_with_the_same_delivery_id(
    sessions, engine, database_url, clock, receiving
):
    url, got = receiving
    queued(sessions, clock())
    child = multiprocessing.get_context("spawn").Process(target=killed, args=(database_url, url, clock()))
    child.start()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode == -signal.SIGKILL
    assert (len(got), state(sessions).state) == (1, "leased")

    class Posts:
        async def send(self, delivery):
            async with httpx.AsyncClient(trust_env=False) as http:
                body = {"id": delivery.delivery_id, "n": delivery.payload["n"]}
                (await http.post(url, json=body)).raise_for_status()

    second = Worker(sessions, {"sms": Posts()}, now=clock)
    assert await second.once() == 0
    clock.advance(seconds=60)
    assert await second.once() == 1
    assert len(got) == 2
    assert got[0] == got[1]
    assert len({body["id"] for body in got}) == 1  # what the receiver keeps
    with sessions() as session:
        assert session.scalars(select(Delivery.state)).all() == ["sent"]
    assert clock() - timedelta(seconds=60) == state(sessions).created_at
