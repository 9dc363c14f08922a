"""kill -9 on the only engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.reliability.cells import cell
from tests.reliability.deployments import QUESTION, Alone

ROW = "engine killed"
COMPLAINT = "百惠乐超市，在二道区东盛大街"


@pytest.fixture(scope="module")
def seen(alone: Alone) -> SimpleNamespace:
    alone.wait_until_ready()
    asking, in_intake = alone.citizen(), alone.citizen()
    seen = SimpleNamespace(alone=alone, asking=asking, in_intake=in_intake)
    in_intake.say("我要投诉")
    alone.kill(alone.supervisor.engine)
    seen.question = asking.ask(QUESTION)
    seen.intake = in_intake.ask(COMPLAINT)
    seen.danger = asking.ask("着火了")
    seen.queued = alone.desk.waiting(in_intake)
    seen.log = alone.desk.get(f"/conversations/{in_intake.id}/log")
    seen.copilot = alone.desk.post("/copilot/suggest", {"text": QUESTION})
    seen.down = not alone.ready()
    seen.back = alone.wait_until_ready()
    seen.question_again = asking.ask(QUESTION)
    seen.intake_again = in_intake.ask(COMPLAINT)
    return seen


@cell(ROW, "citizen", "is told at once that a person takes over; danger is answered as ever")
def test_the_citizen_is_handed_over(seen: SimpleNamespace) -> None:
    assert seen.down, "the engine was back before anything was seen"
    for answer in (seen.question, seen.intake):
        assert (answer.status, answer.kinds) == (200, ["handoff"])
        assert "已转给值班人员" in answer.replies[0]["text"]
        assert answer.seconds < seen.alone.config.engine_timeout
    assert seen.danger.kinds == ["emergency"]
    assert "119" in seen.danger.replies[0]["text"]


@cell(
    ROW,
    "agent",
    "finds the citizen in the queue with the reason 系统故障 and what was said; the copilot works by words",
)
def test_the_agent_finds_the_citizen(seen: SimpleNamespace) -> None:
    assert seen.queued["reason"] == "系统故障"
    assert COMPLAINT in [m["text"] for m in seen.log.body["messages"]]
    assert seen.log.body["draft"]
    assert seen.copilot.status == 200
    assert "no_engine" in [w["kind"] for w in seen.copilot.body["warnings"]]


@cell(
    ROW, "stored", "every message once, each with its reply; the draft of the intake; one hand-over a citizen"
)
def test_everything_is_stored_once(seen: SimpleNamespace) -> None:
    records = seen.alone.records
    assert records.authors(seen.asking) == "b" + "ub" * 3
    assert [m.body for m in records.messages(seen.in_intake) if m.author == "user"] == [
        "我要投诉", COMPLAINT, COMPLAINT,
    ]  # fmt: skip
    for citizen in (seen.asking, seen.in_intake):
        assert records.gapless(citizen)
        assert len(records.hand_overs(citizen)) == 1
        assert all(m.answered_at for m in records.messages(citizen) if m.author == "user")


@cell(
    ROW,
    "recovery",
    "the supervisor starts it again; the next question is answered, the intake goes on where it was",
)
def test_the_engine_comes_back(seen: SimpleNamespace) -> None:
    assert seen.question_again.kinds == ["policy"]
    assert seen.question_again.replies[0]["answer"]["measures"] == [9]
    assert seen.intake_again.kinds[-1] == "intake"
    assert seen.intake_again.replies[-1]["card"]["intake"]["asked"] != "respondent"
