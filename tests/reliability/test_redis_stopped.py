"""Redis, which gateways share their rate limits through, is stopped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Citizen, Many, call

ROW = "Redis stopped"
LIMIT = 30  # messages a minute, the setting's default


@pytest.fixture(scope="module")
def seen(many: Many) -> SimpleNamespace:
    many.wait_until_ready()
    seen = SimpleNamespace(many=many, pids=many.pids())
    citizens, flood, after = [many.citizen() for _ in range(3)], many.citizen(), many.citizen()
    redis = many.cluster.children["redis"]
    redis.stop()
    try:
        seen.answers = [citizen.ask(QUESTION) for citizen in citizens]
        seen.opening = call(many.http, "POST", "/api/v1/conversations", json={"channel": "widget"})
        seen.human = citizens[0].ask("人工")
        seen.flood = [flood.ask("你好", http=many.gateways[0]).status for _ in range(LIMIT + 5)]
        seen.ready = [call(gateway, "GET", "/readyz") for gateway in many.gateways]
        seen.queued = many.desk.waiting(citizens[0])
        seen.claim = many.desk.post(f"/conversations/{citizens[0].id}/claim")
        seen.page = many.desk.page()
    finally:
        redis.start()
    many.desk.post(f"/conversations/{citizens[0].id}/release", {"to": "bot"})
    seen.citizens, seen.flooder = citizens, flood
    # Redis is asked again after some seconds; then the two gateways count together.
    seen.together = shared(after, many)
    seen.pids_after = many.pids()
    return seen


def shared(citizen: Citizen, many: Many) -> int:
    """How many messages one conversation may send when it goes to both gateways in turn, Redis being back."""
    import time

    time.sleep(6)
    passed = 0
    while passed < 2 * LIMIT + 10:
        if citizen.ask("你好", http=many.gateways[passed % 2]).status == 429:
            break
        passed += 1
    return passed


@cell(
    ROW,
    "citizen",
    "is answered as ever and in the same time; who floods is still slowed down, by each gateway for itself",
)
def test_answered_as_ever(seen: SimpleNamespace) -> None:
    assert [answer.kinds for answer in seen.answers] == [["policy"]] * 3
    assert seen.opening.status == 201
    assert seen.flood[0] == 200
    assert seen.flood[-1] == 429


@cell(ROW, "agent", "notices nothing: queue, pages and taking over work")
def test_the_agent_notices_nothing(seen: SimpleNamespace) -> None:
    assert seen.human.kinds == ["handoff"]
    assert seen.queued
    assert (seen.claim.status, seen.page.status) == (200, 200)


@cell(ROW, "stored", "everything: Redis holds nothing but counters")
def test_everything_is_stored(seen: SimpleNamespace) -> None:
    records = seen.many.records
    assert [records.authors(citizen)[:3] for citizen in seen.citizens] == ["bub"] * 3
    passed = seen.flood.count(200)
    assert records.authors(seen.flooder) == "b" + "ub" * passed
    assert records.gapless(seen.flooder)


@cell(ROW, "recovery", "by itself: some seconds after Redis is back the gateways count together again")
def test_counted_together_again(seen: SimpleNamespace) -> None:
    assert [answer.status for answer in seen.ready] == [200, 200]
    # Each for itself they would let pass twice as many; some tokens grow back while the messages are sent.
    assert LIMIT <= seen.together < 2 * LIMIT
    assert seen.pids_after == seen.pids
