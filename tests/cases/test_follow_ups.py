from datetime import date

import pytest

from bot.cases import dispatch, workflow
from bot.cases.follow_ups import DISSATISFIED, SATISFACTION, Call, do_follow_up, follow_ups
from bot.cases.workflow import NotNow, Wrong
from tests.cases.filing import ANONYMOUS, REQUEST, file
from tests.cases.filing import quick_sessions as sessions
from tests.cases.test_workflow import act, answered, get

__all__ = ["sessions"]


@pytest.fixture
def number(sessions, now):
    """A request that was answered."""
    (number,) = file(sessions, now, REQUEST)
    answered(sessions, number, now)
    return number


@pytest.mark.parametrize("word", SATISFACTION)
def test_a_call_is_written_down(sessions, now, number, word):
    act(sessions, do_follow_up, number, Call(True, True, word, "还行"), now=now)
    case = get(sessions, number)
    assert (case.stage, case.status) == ("followed_up", "已回访")
    with sessions() as session:
        (call,) = follow_ups(session, number)
        assert (call.reached, call.solved, call.satisfaction, call.reason) == (True, True, word, "还行")
        assert call.by == "staff:wang"


def test_nobody_reached_is_tried_again(sessions, now, number):
    for _ in range(2):
        act(sessions, do_follow_up, number, Call(False), now=now)
        assert get(sessions, number).stage == "to_follow_up"
    act(sessions, do_follow_up, number, Call(True, True, "满意"), now=now)
    with sessions() as session:
        assert [call.reached for call in follow_ups(session, number)] == [False, False, True]


@pytest.mark.parametrize(
    "call",
    [
        Call(True),
        Call(True, True),
        Call(True, None, "满意"),
        Call(True, True, "还可以"),
        Call(True, False, "不满意"),
        Call(True, True, "满意", then="reopen"),
        Call(False, None, "满意"),
        Call(False, True),
        Call(False, then="redo"),
    ],
)
def test_what_does_not_fit_together_is_refused(sessions, now, number, call):
    with pytest.raises(Wrong):
        act(sessions, do_follow_up, number, call, now=now)
    with sessions() as session:
        assert follow_ups(session, number) == []
    assert get(sessions, number).stage == "answered"


@pytest.mark.parametrize("word", DISSATISFIED)
def test_who_is_not_satisfied_is_handled_again_by_the_same_department(sessions, now, number, word):
    call = Call(True, False, word, "钱没到账", then="redo", due_on=date(2026, 11, 30))
    act(sessions, do_follow_up, number, call, now=now)
    case = get(sessions, number)
    assert (case.stage, case.status, case.department) == ("dispatched", "已回访", "产品质量监督")
    assert case.due_on == date(2026, 11, 30)
    with sessions() as session:
        assert [d.state for d in dispatch.dispatches(session, number)] == ["answered", "sent"]
        kinds = [event.kind for event in workflow.history(session, number)]
        assert kinds[-2:] == ["follow_up", "redo"]
    act(sessions, dispatch.do_accept, number, now=now)
    assert get(sessions, number).status == "办理中"


def test_or_taken_up_again_by_the_hotline(sessions, now, number):
    call = Call(True, False, "不满意", "部门不对", then="reopen")
    act(sessions, do_follow_up, number, call, now=now)
    assert get(sessions, number).stage == "waiting"


def test_a_second_handling_that_cannot_be_leaves_no_call(sessions, now):
    (number,) = file(sessions, now, REQUEST)
    act(sessions, dispatch.do_answer, number, result="电话答复", now=now)
    with pytest.raises(NotNow, match="没有派过单"):
        act(sessions, do_follow_up, number, Call(True, False, "不满意", "x", then="redo"), now=now)
    with sessions() as session:
        assert follow_ups(session, number) == []
    assert get(sessions, number).stage == "answered"


def test_no_call_before_there_is_an_answer(sessions, now):
    (number,) = file(sessions, now, REQUEST)
    with pytest.raises(NotNow):
        act(sessions, do_follow_up, number, Call(True, True, "满意"), now=now)


def test_nobody_calls_an_anonymous_informant(sessions, now):
    (number,) = file(sessions, now, ANONYMOUS)
    answered(sessions, number, now)
    with pytest.raises(Wrong, match="匿名"):
        act(sessions, do_follow_up, number, Call(True, True, "满意"), now=now)
    act(sessions, workflow.do_archive, number, reason="匿名，无法回访", now=now)
    assert get(sessions, number).stage == "archived"
