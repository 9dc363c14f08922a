"""PostgreSQL is stopped (fast shutdown, as an administrator does it) and started again later."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from bot.conversations.models import Conversation, Message
from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Many, call

ROW = "PostgreSQL stopped"
CITIZENS = 12
BOUND = 15.0  # seconds


@pytest.fixture(scope="module")
def seen(many: Many) -> Iterator[SimpleNamespace]:
    many.wait_until_ready()
    citizens, in_need = [many.citizen() for _ in range(CITIZENS)], many.citizen()
    citizens[0].say(QUESTION)
    in_need.say("人工")
    log = citizens[0].log()
    counts = [many.records.count(kind) for kind in (Conversation, Message)]
    ids = [uuid.uuid4().hex for _ in citizens]
    seen = SimpleNamespace(many=many, citizens=citizens, pids=many.pids(), before=log)
    postgres = many.cluster.children["postgres"]
    postgres.stop()
    try:
        with ThreadPoolExecutor(CITIZENS) as pool:
            seen.refused = list(pool.map(lambda c, i: c.ask(QUESTION, i), citizens, ids))
        seen.opening = call(many.http, "POST", "/api/v1/conversations", json={"channel": "widget"})
        seen.ready = [call(gateway, "GET", "/readyz") for gateway in many.gateways]
        seen.live = [call(gateway, "GET", "/healthz") for gateway in many.gateways]
        seen.queue = many.desk.get("/queue")
        seen.claim = many.desk.post(f"/conversations/{in_need.id}/claim")
        seen.page = many.desk.page()
        seen.log_in_page = many.desk.page("/login")
    finally:
        if not postgres.alive():
            postgres.start()
    seen.again = [citizen.insist(QUESTION, i)[-1] for citizen, i in zip(citizens, ids)]
    many.wait_until_ready()
    seen.after = citizens[0].log()
    seen.grown = [many.records.count(kind) - n for kind, n in zip((Conversation, Message), counts)]
    seen.claim_again = many.desk.post(f"/conversations/{in_need.id}/claim")
    seen.page_again = many.desk.page()
    seen.pids_after = many.pids()
    yield seen
    many.desk.post(f"/conversations/{in_need.id}/release", {"to": "bot"})


@cell(
    ROW,
    "citizen",
    "is told within seconds, twelve at once as well, that nothing could be saved and to send again",
)
def test_refused_in_words_and_in_time(seen: SimpleNamespace) -> None:
    for answer in (*seen.refused, seen.opening):
        assert (answer.status, answer.code) == (503, "not_stored")
        assert "再发一次" in answer.message
        assert int(answer.headers["retry-after"]) > 0
        assert answer.seconds < BOUND


@cell(ROW, "agent", "is told that the database is away, calls and pages alike; no log-in is lost")
def test_the_agent_is_told(seen: SimpleNamespace) -> None:
    for answer in (seen.queue, seen.claim):
        assert (answer.status, answer.code) == (503, "not_stored")
    assert seen.page.status == 503
    assert "暂时连不上数据库" in seen.page.body
    assert seen.log_in_page.status == 200
    assert (seen.claim_again.status, seen.page_again.status) == (200, 200)


@cell(ROW, "stored", "everything from before, and nothing of what was refused")
def test_nothing_half_written(seen: SimpleNamespace) -> None:
    assert seen.after[: len(seen.before)] == seen.before
    # One message and one answer for each citizen, all of them sent again afterwards.
    assert seen.grown == [0, 2 * CITIZENS]
    assert all(seen.many.records.gapless(citizen) for citizen in seen.citizens)


@cell(
    ROW,
    "recovery",
    "by itself when the database is back, without a restart; meanwhile /readyz says which part is missing",
)
def test_the_same_processes_go_on(seen: SimpleNamespace) -> None:
    for ready, live in zip(seen.ready, seen.live):
        assert (ready.status, ready.body["database"]) == (503, False)
        assert live.status == 200
    assert [answer.kinds for answer in seen.again] == [["policy"]] * CITIZENS
    assert seen.pids_after == seen.pids
