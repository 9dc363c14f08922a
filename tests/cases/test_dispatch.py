from datetime import date, timedelta

import pytest
from sqlalchemy import select

from bot.cases import linking, workflow
from bot.cases.dispatch import (
    dispatches,
    do_accept,
    do_answer,
    do_dispatch,
    do_handle,
    do_recall,
    do_return,
    do_support,
    do_withdraw,
    running,
)
from bot.cases.workflow import RETURN_REASONS, NotNow, Wrong
from bot.outbox.models import Delivery
from tests.cases.filing import COMPLAINT, REPORT, REQUEST, file
from tests.cases.filing import quick_sessions as sessions
from tests.cases.test_workflow import act, get

__all__ = ["sessions"]

LEAD, HELP, ALSO = "产品质量监督", "消费者权益保护", "价格监督和反不正当竞争"


def send(sessions, number, now, lead=LEAD, support=(HELP,), **more):
    return act(sessions, do_dispatch, number, lead=lead, support=support, opinion="请核实", now=now, **more)


def pushed(sessions):
    """(notice, department, part) of what is queued, in order."""
    with sessions() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id))
        return [(d.payload["notice"], d.target["department"], d.payload["part"]) for d in found]


def states(sessions, number):
    with sessions() as session:
        return {d.department: d.state for d in dispatches(session, number)}


def test_one_lead_and_many_supports_are_sent_with_the_case(sessions, now):
    (number,) = file(sessions, now)
    sent = send(sessions, number, now, support=[HELP, ALSO], due_on=date(2026, 11, 27))
    assert [(d.part, d.department, d.state) for d in sent] == [
        ("lead", LEAD, "sent"), ("support", HELP, "sent"), ("support", ALSO, "sent")
    ]  # fmt: skip
    assert pushed(sessions) == [
        ("dispatch", LEAD, "主办"),
        ("support", HELP, "协办"),
        ("support", ALSO, "协办"),
    ]
    case = get(sessions, number)
    assert (case.stage, case.department, case.due_on) == ("dispatched", LEAD, date(2026, 11, 27))
    with sessions() as session:
        lanes = session.scalars(select(Delivery.lane).order_by(Delivery.id)).all()
        assert lanes == [f"department:{name}" for name in (LEAD, HELP, ALSO)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lead": "x"}, "2到64"),
        ({"lead": "部" * 65}, "2到64"),
        ({"support": [LEAD]}, "重复派单"),
        ({"support": [""]}, "2到64"),
        ({"due_on": date(2026, 11, 21)}, "不能早于今天"),
    ],
)
def test_a_wrong_dispatch_sends_nothing(sessions, now, wrong, message):
    (number,) = file(sessions, now)
    with pytest.raises(Wrong, match=message):
        send(sessions, number, now, **wrong)
    with pytest.raises(Wrong, match="意见"):
        act(sessions, do_dispatch, number, lead=LEAD, opinion=" ", now=now)
    assert (pushed(sessions), get(sessions, number).stage) == ([], "waiting")


def test_a_rolled_back_dispatch_leaves_no_push(sessions, now):
    (number,) = file(sessions, now)
    with pytest.raises(RuntimeError), sessions.begin() as session:
        do_dispatch(session, number, lead=LEAD, opinion="请核实", actor="staff:wang", now=now)
        raise RuntimeError
    assert (pushed(sessions), get(sessions, number).stage) == ([], "waiting")


@pytest.mark.parametrize("respondent", [LEAD, f"省局{LEAD}处", "产品质量"])
def test_a_report_never_goes_to_the_reported_side(sessions, now, respondent):
    (number,) = file(sessions, now, REPORT, respondent=respondent)
    with pytest.raises(Wrong, match="被举报方"):
        send(sessions, number, now, lead=LEAD, support=())
    with pytest.raises(Wrong, match="被举报方"):
        send(sessions, number, now, lead=HELP, support=[LEAD])
    send(sessions, number, now, lead=HELP, support=())
    with pytest.raises(Wrong, match="被举报方"):
        act(sessions, do_support, number, [LEAD], opinion="协助", now=now)


def test_returned_to_the_dispatcher_and_sent_on_by_them(sessions, now):
    (number,) = file(sessions, now)
    send(sessions, number, now)
    act(sessions, do_return, number, reason="不属本职", explanation="应由计量处办理", now=now)
    assert get(sessions, number).stage == "returned"
    assert states(sessions, number) == {LEAD: "returned", HELP: "withdrawn"}
    assert pushed(sessions)[-1] == ("recall", HELP, "协办")  # nothing went to 计量 by itself
    send(sessions, number, now, lead="计量", support=())
    assert get(sessions, number).department == "计量"
    with sessions() as session:
        assert [d.department for d in running(session, number)] == ["计量"]


@pytest.mark.parametrize("reason", RETURN_REASONS)
def test_every_reason_of_the_list_returns(sessions, now, reason):
    (number,) = file(sessions, now)
    send(sessions, number, now)
    act(sessions, do_return, number, reason=reason, explanation="见说明", now=now)
    with sessions() as session:
        assert dispatches(session, number)[0].returned_reason == reason


def test_a_return_needs_a_reason_of_the_list_and_other_needs_words(sessions, now):
    (number,) = file(sessions, now)
    send(sessions, number, now)
    for reason in ("", "不想办", "其他原因"):
        with pytest.raises(Wrong):
            act(sessions, do_return, number, reason=reason, now=now)
    assert get(sessions, number).stage == "dispatched"


def test_a_supports_return_leaves_the_case_with_its_lead(sessions, now):
    (number,) = file(sessions, now)
    lead, support = send(sessions, number, now)
    act(sessions, do_return, number, reason="不属本职", dispatch_id=support.id, now=now)
    assert (get(sessions, number).stage, states(sessions, number)[HELP]) == ("dispatched", "returned")
    with pytest.raises(NotNow, match="没有在办理"):
        act(sessions, do_return, number, reason="不属本职", dispatch_id=support.id, now=now)
    assert lead.id != support.id


def test_supports_accept_and_answer_without_moving_the_case(sessions, now):
    (number,) = file(sessions, now)
    _, support = send(sessions, number, now)
    act(sessions, do_accept, number, dispatch_id=support.id, now=now)
    act(sessions, do_answer, number, result="无异议", dispatch_id=support.id, now=now)
    assert (get(sessions, number).stage, states(sessions, number)[HELP]) == ("dispatched", "answered")
    with pytest.raises(NotNow):
        act(sessions, do_answer, number, result="早了", now=now)  # the lead has not accepted
    act(sessions, do_accept, number, now=now)
    with pytest.raises(NotNow, match="已经签收"):
        act(sessions, do_accept, number, now=now)
    act(sessions, do_handle, number, now=now)
    with pytest.raises(Wrong, match="办理结果"):
        act(sessions, do_answer, number, result="", now=now)
    act(sessions, do_answer, number, result="已退款", now=now)
    assert get(sessions, number).stage == "answered"


def test_the_hotline_itself_may_answer_what_it_did_not_send_out(sessions, now):
    (number,) = file(sessions, now, REQUEST)
    act(sessions, do_answer, number, result="已电话答复", now=now)
    case = get(sessions, number)
    assert (case.stage, case.status) == ("answered", "已反馈")


def test_more_supports_can_be_added_but_not_twice(sessions, now):
    (number,) = file(sessions, now)
    with pytest.raises(NotNow):
        act(sessions, do_support, number, [HELP], opinion="协助", now=now)
    send(sessions, number, now)
    with pytest.raises(Wrong, match="已经在办理"):
        act(sessions, do_support, number, [HELP], opinion="协助", now=now)
    act(sessions, do_support, number, [ALSO], opinion="协助", now=now)
    assert states(sessions, number) == {LEAD: "sent", HELP: "sent", ALSO: "sent"}


def test_recalled_and_withdrawn_departments_are_told(sessions, now):
    (number,) = file(sessions, now)
    send(sessions, number, now)
    with pytest.raises(Wrong, match="原因"):
        act(sessions, do_recall, number, reason="", now=now)
    act(sessions, do_recall, number, reason="派错了", now=now)
    assert get(sessions, number).stage == "waiting"
    assert pushed(sessions)[2:] == [("recall", LEAD, "主办"), ("recall", HELP, "协办")]
    send(sessions, number, now, lead=ALSO, support=())
    act(sessions, do_withdraw, number, reason="市民撤诉", now=now)
    assert pushed(sessions)[-1] == ("withdraw", ALSO, "主办")


def test_a_dispatch_time_limit_ends_with_the_answer(sessions, now):
    (number,) = file(sessions, now, REQUEST)
    assert get(sessions, number).due_on is None
    send(sessions, number, now, due_on=date(2026, 11, 30))
    assert get(sessions, number).due_on == date(2026, 11, 30)
    act(sessions, do_accept, number, now=now)
    act(sessions, do_answer, number, result="已办", now=now)
    assert get(sessions, number).due_on is None


# merge and link


def test_a_duplicate_is_merged_and_stays(sessions, now):
    (first,) = file(sessions, now, conversation="c1")
    (second,) = file(sessions, now, conversation="c2")
    (third,) = file(sessions, now, conversation="c3")
    send(sessions, second, now, support=())
    act(sessions, linking.do_merge, third, second, now=now, reason="同一商户同一批货")
    act(sessions, linking.do_merge, second, first, now=now + timedelta(hours=1))
    assert [get(sessions, n).duplicate_of for n in (first, second, third)] == [None, first, first]
    case = get(sessions, second)
    assert (case.stage, case.closed_at) == ("merged", now + timedelta(hours=1))
    assert pushed(sessions)[-1] == ("recall", LEAD, "主办")
    with sessions() as session:
        assert [c.number for c in linking.duplicates(session, first)] == [second, third]
        assert workflow.history(session, first)[-1].detail == {"merged": second}
    with pytest.raises(NotNow, match="已并单"):
        act(sessions, linking.do_merge, first, second, now=now)
    act(sessions, workflow.do_reopen, second, now=now, reason="不是同一件")
    assert get(sessions, second).duplicate_of is None


def test_only_two_open_cases_of_one_type_are_merged(sessions, now):
    first, twin = file(sessions, now, COMPLAINT, REPORT)
    for other in (first, twin):
        with pytest.raises(Wrong):
            act(sessions, linking.do_merge, first, other, now=now)
    with pytest.raises(workflow.UnknownCase):
        act(sessions, linking.do_merge, first, "JL-T-261122-00099-9", now=now)


def test_a_complaint_and_a_report_become_twins(sessions, now):
    (complaint,) = file(sessions, now, COMPLAINT, conversation="c1")
    (report,) = file(sessions, now, REPORT, conversation="c2")
    (other,) = file(sessions, now, REPORT, conversation="c3")
    with pytest.raises(Wrong, match="一件投诉和一件举报"):
        act(sessions, linking.do_link, report, other, now=now)
    act(sessions, linking.do_link, report, complaint, now=now)
    assert (get(sessions, report).twin_number, get(sessions, complaint).twin_number) == (complaint, report)
    with pytest.raises(Wrong, match="已经关联"):
        act(sessions, linking.do_link, complaint, other, now=now)
