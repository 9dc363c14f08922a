"""kill -9 on the desk while an agent owns a conversation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone, until

ROW = "desk killed"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    owned, asking, in_need = (alone.citizen() for _ in range(3))
    seen = SimpleNamespace(alone=alone, owned=owned, asking=asking, in_need=in_need)
    owned.say("人工")
    assert alone.desk.post(f"/conversations/{owned.id}/claim").status == 200
    pages = alone.supervisor.desk.process.pid
    alone.kill(alone.supervisor.desk)
    seen.refused = alone.desk.get("/queue")
    seen.question = asking.ask(QUESTION)
    seen.human = in_need.ask("人工")
    seen.to_owner = owned.ask("我的单位在二道区")
    until(lambda: alone.desk.get("/me").status == 200, "the desk")
    seen.restarted = alone.supervisor.desk.process.pid != pages
    seen.me = alone.desk.get("/me")
    seen.page = alone.desk.page()
    seen.queued = alone.desk.waiting(in_need)
    seen.mine = [row["conversation_id"] for row in alone.desk.get("/queue").body["mine"]]
    seen.log = alone.desk.get(f"/conversations/{owned.id}/log")
    seen.said = alone.desk.say(owned, "看到了，马上办。")
    seen.streamed = owned.follow(len(seen.log.body["messages"]), 1)
    alone.desk.post(f"/conversations/{owned.id}/release", {"to": "bot"})
    return seen


@cell(ROW, "citizen", "notices nothing: questions are answered, whoever wants a person is queued")
def test_citizens_notice_nothing(seen: SimpleNamespace) -> None:
    assert seen.question.kinds == ["policy"]
    assert seen.human.kinds == ["handoff"]
    assert "排队" in seen.human.replies[0]["text"]
    # A person owns it: stored, and no word of the bot.
    assert (seen.to_owner.status, seen.to_owner.replies) == (202, [])


@cell(
    ROW, "agent", "sees the desk gone for some seconds, then goes on without a new log-in, page and program"
)
def test_the_agent_is_still_logged_in(seen: SimpleNamespace) -> None:
    assert seen.refused.status == 0, "the desk was not down"
    assert (seen.me.status, seen.me.body["username"]) == (200, "alone")
    assert seen.page.status == 200
    assert "登录" not in str(seen.page.body)[:2000]


@cell(ROW, "stored", "who owns which conversation, the queue, and what citizens wrote meanwhile")
def test_ownership_and_queue_are_stored(seen: SimpleNamespace) -> None:
    assert seen.owned.id in seen.mine
    assert seen.queued
    assert "我的单位在二道区" in [m["text"] for m in seen.log.body["messages"]]
    assert all(seen.alone.records.gapless(c) for c in (seen.owned, seen.asking, seen.in_need))


@cell(ROW, "recovery", "the supervisor starts it again; the agent's next words reach the citizen")
def test_the_desk_comes_back(seen: SimpleNamespace) -> None:
    assert seen.restarted
    assert seen.said.status == 201
    assert [m["text"] for m in seen.streamed] == ["看到了，马上办。"]
