"""kill -9 on the only gateway, with a citizen who is sending and one who is listening."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, in_background, until

ROW = "gateway killed"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    sending, listening = alone.citizen(), alone.citizen()
    seen = SimpleNamespace(alone=alone, sending=sending, listening=listening)
    listening.say("人工")
    before = listening.log()
    message_id = uuid.uuid4().hex
    alone.kill(alone.supervisor.gateway)
    tries: list = []
    with in_background(lambda _: tries.extend(sending.insist(QUESTION, message_id))):
        # Meanwhile at the desk.
        seen.queued = alone.desk.waiting(listening)
        seen.claimed = alone.desk.post(f"/conversations/{listening.id}/claim")
        seen.said = alone.desk.say(listening, "您好，我是值班员王敏。")
        until(lambda: tries and tries[-1].status == 200, "an answer")
    seen.tries = tries
    seen.ready = alone.ready()
    seen.repeated = sending.ask(QUESTION, message_id)
    seen.streamed = listening.follow(before[-1]["seq"], 2)
    seen.before, seen.after = before, listening.log()
    seen.owned = listening.ask("在吗")
    alone.desk.post(f"/conversations/{listening.id}/release", {"to": "bot"})
    return seen


@cell(
    ROW, "citizen", "the page sends again under the same id and gets one answer; nothing said before is gone"
)
def test_the_page_sends_again_and_is_answered(seen: SimpleNamespace) -> None:
    assert seen.tries[0].status == 0, "the gateway was not down"
    assert seen.tries[-1].kinds == ["policy"]
    assert seen.repeated.body == seen.tries[-1].body
    assert seen.after[: len(seen.before)] == seen.before


@cell(
    ROW, "agent", "works on: sees the queue, takes over, answers; the words arrive when the gateway is back"
)
def test_the_agent_works_on(seen: SimpleNamespace) -> None:
    assert seen.queued
    assert (seen.claimed.status, seen.said.status) == (200, 201)
    assert [m["author"] for m in seen.streamed] == ["system", "staff"]
    assert seen.streamed[-1]["text"] == "您好，我是值班员王敏。"


@cell(
    ROW,
    "stored",
    "the message once, however often it was sent; what was said at the desk; who owns the conversation",
)
def test_once_each(seen: SimpleNamespace) -> None:
    records = seen.alone.records
    assert records.authors(seen.sending) == "bub"
    assert records.authors(seen.listening)[: len(seen.before) + 3] == "bub" + "ysu"
    assert records.gapless(seen.listening)
    # The bot is silent towards a citizen whom a person has taken over, also when it has been started anew.
    assert (seen.owned.status, seen.owned.replies) == (202, [])


@cell(ROW, "recovery", "the supervisor starts it again; streams resume after the last message without a gap")
def test_streams_resume(seen: SimpleNamespace) -> None:
    assert seen.ready
    last = seen.before[-1]["seq"]
    assert [m["seq"] for m in seen.streamed] == [last + 1, last + 2]
