"""The SMS gateway refuses connections: texts still come in (through another door of it), nothing goes out."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, until

ROW = "SMS gateway down"
NUMBER = "13904310001"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    records = alone.records
    seen = SimpleNamespace(alone=alone)
    alone.sms.stop()
    try:
        seen.taken = [alone.text(NUMBER, QUESTION)]
        first = until(lambda: [d for d in records.deliveries(kind="sms") if d.last_error], "a try")[0]
        conversation = first.conversation_id
        seen.taken.append(alone.text(NUMBER, "谢谢"))
        until(lambda: len(records.deliveries(conversation_id=conversation)) == 2, "the second answer")
        seen.log = alone.desk.get(f"/conversations/{conversation}/log")
        seen.outbox = alone.desk.get("/dead-letters")
        seen.widget = alone.citizen().ask(QUESTION)
        seen.waiting = records.deliveries(conversation_id=conversation)
        seen.received_meanwhile = sent_to(alone)
    finally:
        alone.sms.start()
    back = time.monotonic()
    until(
        lambda: {d.state for d in records.deliveries(conversation_id=conversation)} == {"sent"}, "both sent"
    )
    seen.after = time.monotonic() - back
    seen.received = sent_to(alone)
    seen.deliveries = records.deliveries(conversation_id=conversation)
    return seen


def sent_to(alone: Alone) -> list:
    """The SMS that the number has got."""
    return [r for r in alone.sms.received if r.headers["x-kannel-to"] == NUMBER]


@cell(
    ROW,
    "citizen",
    "hears nothing for a while, then gets each answer once and in order; the chat page notices nothing",
)
def test_each_answer_once_and_in_order(seen: SimpleNamespace) -> None:
    assert [answer.status for answer in seen.taken] == [200, 200]
    assert len(seen.received) == 2
    assert "第9条" in seen.received[0].body
    assert "第9条" not in seen.received[1].body
    assert seen.widget.kinds == ["policy"]


@cell(ROW, "agent", "sees the conversation with its answers, and how many deliveries wait")
def test_the_agent_sees_what_waits(seen: SimpleNamespace) -> None:
    texts = [message["author"] for message in seen.log.body["messages"]]
    assert texts == ["user", "bot", "user", "bot"]
    assert seen.outbox.body["counts"]["pending"] >= 2


@cell(
    ROW,
    "stored",
    "the texts, their answers, and a delivery each that waits with what went wrong, without the number",
)
def test_the_deliveries_wait(seen: SimpleNamespace) -> None:
    assert seen.received_meanwhile == []
    first, second = seen.waiting
    assert (first.state, first.last_error) == ("pending", "ConnectError")
    # Not tried at all: it would overtake the first one.
    assert (second.state, second.attempts) == ("pending", 0)
    assert NUMBER not in (first.last_error or "")


@cell(
    ROW,
    "recovery",
    "the outbox tries again by itself, after 10 s, 30 s, 90 s … for some five hours, then shows it as a dead letter",
)
def test_sent_by_itself(seen: SimpleNamespace) -> None:
    assert seen.after < 60
    assert [d.state for d in seen.deliveries] == ["sent", "sent"]
    assert 2 <= seen.deliveries[0].attempts <= 3
    assert seen.deliveries[0].last_error is None
