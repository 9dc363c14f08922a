"""PostgreSQL is restarted while citizens write and an agent works: every connection breaks, some in a transaction."""

from __future__ import annotations

import threading
import time
import uuid
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Answer, Citizen, Many, in_background, until

ROW = "PostgreSQL restarted"
WORDS = (QUESTION, "那要交钱吗", "你好", "营业执照怎么网上办")


@pytest.fixture(scope="module")
def seen(many: Many) -> SimpleNamespace:
    many.wait_until_ready()
    seen = SimpleNamespace(many=many, sent={}, tries=[], desk=[], pids=many.pids())
    citizens = [many.citizen() for _ in range(4)]

    def talk(citizen: Citizen, stop: threading.Event) -> None:
        ids = seen.sent.setdefault(citizen, [])
        while not stop.is_set():
            ids.append(uuid.uuid4().hex)
            seen.tries += citizen.insist(WORDS[len(ids) % len(WORDS)], ids[-1])

    def work(stop: threading.Event) -> None:
        while not stop.is_set():
            seen.desk.append(many.desk.get("/queue"))
            time.sleep(0.1)

    turn = iter(citizens)
    with in_background(lambda stop: talk(next(turn), stop), len(citizens)), in_background(work):
        until(lambda: len(seen.tries) > 8, "conversations under way")
        postgres = many.cluster.children["postgres"]
        postgres.stop()
        postgres.start()
        before = len(seen.tries)
        until(lambda: [a.status for a in seen.tries[before:]].count(200) > 12, "answers after the restart")
        until(lambda: seen.desk and seen.desk[-1].status == 200, "the desk after the restart")
    many.wait_until_ready()
    # One gateway hears what the other one stores, as before.
    listener = many.citizen()
    heard: list[float] = []

    def listen(_: threading.Event) -> None:
        Citizen.follow(elsewhere, 1, 2, 60.0)
        heard.append(time.monotonic())

    elsewhere = Citizen.__new__(Citizen)
    elsewhere.__dict__ |= listener.__dict__ | {"http": many.gateways[1]}
    with in_background(listen):
        time.sleep(1.0)  # so that the stream waits for news, and does not read what is there already
        seen.answer: Answer = listener.ask(QUESTION, http=many.gateways[0])
        answered = time.monotonic()
    seen.delay = heard[0] - answered
    seen.pids_after = many.pids()
    return seen


@cell(
    ROW,
    "citizen",
    "sends again at most and is answered once; sees no error but “could not be saved, send again”",
)
def test_only_refusals_that_say_what_to_do(seen: SimpleNamespace) -> None:
    assert {(a.status, a.code) for a in seen.tries} <= {(200, ""), (503, "not_stored")}
    assert (503, "not_stored") in {(a.status, a.code) for a in seen.tries}, "nobody noticed the restart"
    assert all(a.replies for a in seen.tries if a.status == 200)


@cell(ROW, "agent", "is told for a moment that the database is away, then works on under the same log-in")
def test_the_agent_works_on(seen: SimpleNamespace) -> None:
    assert {(a.status, a.code) for a in seen.desk} <= {(200, ""), (503, "not_stored")}
    assert seen.desk[-1].status == 200


@cell(ROW, "stored", "every message that was answered, once, with one answer, in order and without a gap")
def test_once_and_in_order(seen: SimpleNamespace) -> None:
    for citizen, ids in seen.sent.items():
        messages = seen.many.records.messages(citizen)
        said = [m for m in messages if m.author == "user"]
        assert len(said) == len(ids)
        assert [m.external_id.rsplit(":", 1)[-1] for m in said] == ids
        assert seen.many.records.authors(citizen) == "b" + "ub" * len(ids)
        assert seen.many.records.gapless(citizen)


@cell(
    ROW,
    "recovery",
    "broken connections are replaced, news between the gateways flow again; no process is restarted",
)
def test_connections_are_replaced(seen: SimpleNamespace) -> None:
    assert seen.pids_after == seen.pids
    assert seen.answer.kinds == ["policy"]
    # By NOTIFY: without it a stream looks at the log every ten seconds.
    assert seen.delay < 8
