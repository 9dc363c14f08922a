"""The work order on both databases."""

import pytest

from bot import audit
from bot.cases import dispatch, workflow
from bot.cases.follow_ups import Call, do_follow_up
from bot.cases.workflow import NotNow, do_archive, history
from tests.cases.filing import PARTS, REPORT, file
from tests.cases.test_case_store import together
from tests.cases.test_workflow import act, audited, get


@pytest.mark.parametrize("type", "TJSY")
def test_the_whole_way(sessions, now, type):
    (number,) = file(sessions, now, PARTS[type])
    seen = []
    steps = [
        (dispatch.do_dispatch, {"lead": "产品质量监督", "opinion": "请核实"}),
        (dispatch.do_accept, {}),
        (dispatch.do_handle, {}),
        (dispatch.do_answer, {"result": "已退款"}),
        (workflow.do_ask_follow_up, {}),
        (do_follow_up, {"call": Call(True, True, "满意")}),
        (do_archive, {}),
    ]
    for call, named in steps:
        act(sessions, call, number, now=now, **named)
        case = get(sessions, number)
        seen.append((case.stage, case.status))
    words = {
        "T": ["待受理"] * 7,
        "J": ["已登记"] + ["核查中"] * 6,
        "S": ["已转办", "办理中", "办理中", "已反馈", "已反馈", "已回访", "已回访"],
    }
    stages = ["dispatched", "accepted", "handling", "answered", "to_follow_up", "followed_up", "archived"]
    assert seen == list(zip(stages, words["S" if type == "Y" else type]))
    assert case.closed_at == now and case.due_on is None
    with sessions() as session:
        kinds = [event.kind for event in history(session, number)]
        assert kinds == [
            "registered", "dispatch", "accept", "handle", "answer", "ask_follow_up", "follow_up", "archive"
        ]  # fmt: skip
        assert audit.verify(session) is None
    assert [a for a, s in audited(sessions) if s == f"case:{number}"] == [
        f"case.{kind}" for kind in kinds[1:]
    ]


def test_two_changes_at_once_are_one_after_the_other(sessions, now):
    (number,) = file(sessions, now, REPORT)

    def work(index):
        try:
            act(sessions, dispatch.do_dispatch, number, lead=f"部门{index}", opinion="请办", now=now)
            return True
        except NotNow:
            return False

    assert sum(together(5, work)) == 1
    with sessions() as session:
        assert len(dispatch.dispatches(session, number)) == 1
        assert audit.verify(session) is None
