"""SIGSTOP on the only engine: it lives, takes connections and never answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, until

ROW = "engine hung"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> Iterator[SimpleNamespace]:
    alone.wait_until_ready()
    first, others = alone.citizen(), [alone.citizen() for _ in range(3)]
    seen = SimpleNamespace(alone=alone, first=first, others=others)
    child, watchdog = alone.supervisor.engine, alone.supervisor.hung_after
    seen.stopped = child.process.pid
    child.restarts.clear()
    until(lambda: child.answered, "the supervisor's first look at the engine")
    os.kill(seen.stopped, signal.SIGSTOP)
    try:
        seen.answer = first.ask(QUESTION)
        seen.later = [citizen.ask(QUESTION) for citizen in others]
        seen.queued = [alone.desk.waiting(citizen) for citizen in (first, *others)]
        seen.copilot = [alone.desk.post("/copilot/suggest", {"text": QUESTION}) for _ in range(2)]
        seen.claimed = alone.desk.post(f"/conversations/{first.id}/claim")
        # Nobody wakes it: what cannot be woken has to be replaced.
        alone.supervisor.hung_after = 5.0
        until(lambda: child.process.pid != seen.stopped and child.alive(), "another engine")
    finally:
        alone.supervisor.hung_after = watchdog
        if child.process.pid == seen.stopped:
            os.kill(seen.stopped, signal.SIGCONT)
    alone.wait_until_ready()
    seen.again = others[0].insist(QUESTION)[-1]
    yield seen
    alone.desk.post(f"/conversations/{first.id}/release", {"to": "bot"})


@cell(
    ROW,
    "citizen",
    "the first one is told within the turn's bound that a person takes over, the next ones at once",
)
def test_nobody_waits_for_long_and_only_the_first_at_all(seen: SimpleNamespace) -> None:
    bound = seen.alone.config.engine_timeout
    for answer in (seen.answer, *seen.later):
        assert (answer.status, answer.kinds) == (200, ["handoff"])
    assert bound <= seen.answer.seconds < 2 * bound
    assert all(answer.seconds < bound for answer in seen.later)


@cell(ROW, "agent", "finds all of them in the queue and can take over; only the first suggestion waits")
def test_the_agent_works_on(seen: SimpleNamespace) -> None:
    assert {row.get("reason") for row in seen.queued} == {"系统故障"}
    assert seen.claimed.status == 200
    assert [answer.status for answer in seen.copilot] == [200, 200]
    assert seen.copilot[1].seconds < seen.alone.config.engine_timeout


@cell(ROW, "stored", "every message once, each with its reply; one hand-over a citizen")
def test_everything_is_stored_once(seen: SimpleNamespace) -> None:
    records = seen.alone.records
    for citizen in (seen.first, *seen.others):
        assert records.authors(citizen).startswith("bub")
        assert records.gapless(citizen)
        assert len(records.hand_overs(citizen)) == 1
    assert records.authors(seen.first) == "bub" + "y"  # and the agent's coming


@cell(ROW, "recovery", "the supervisor replaces what does not answer; the next question is answered")
def test_the_engine_is_replaced(seen: SimpleNamespace) -> None:
    assert seen.again.kinds == ["policy"]
