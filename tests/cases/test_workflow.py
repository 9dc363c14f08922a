import itertools
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from bot import audit
from bot.cases import dispatch, workflow
from bot.cases.models import STATUSES, Case, CaseType
from bot.cases.store import find_case
from bot.cases.workflow import (
    ACTIONS,
    CLOSED,
    REFUSAL_GROUNDS,
    NotNow,
    Stage,
    UnknownCase,
    Wrong,
    actions,
    do_archive,
    do_assign,
    do_correct,
    do_platform,
    do_reopen,
    do_status,
    do_urgency,
    history,
)
from tests.cases.filing import ACTOR, ANONYMOUS, COMPLAINT, FIELDS, file
from tests.cases.filing import quick_sessions as sessions

__all__ = ["sessions"]
PLATFORM = "3305230000000202105312269"


def act(sessions, call, /, *arguments, **named):
    """One change in a transaction of its own."""
    with sessions.begin() as session:
        return call(session, *arguments, actor=ACTOR, **named)


def get(sessions, number):
    with sessions() as session:
        return session.get(Case, number)


def audited(sessions):
    with sessions() as session:
        return [
            (e.action, e.subject)
            for e in session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id))
        ]


def answered(sessions, number, now):
    """A case that a department has answered."""
    act(sessions, dispatch.do_dispatch, number, lead="产品质量监督", opinion="请核实", now=now)
    act(sessions, dispatch.do_accept, number, now=now)
    act(sessions, dispatch.do_answer, number, result="已退款", now=now)


# the table


def test_every_action_starts_and_ends_at_a_stage_and_every_stage_can_be_left():
    assert all(action.since for action in ACTIONS.values())
    left = set().union(*(action.since for action in ACTIONS.values() if action.to))
    assert left == set(Stage)
    reached = {action.to for action in ACTIONS.values() if action.to} | {Stage.REGISTERED}
    assert reached == set(Stage)


def test_stages_and_actions_have_their_own_chinese_names():
    for names in ([s.label for s in Stage], [a.label for a in ACTIONS.values()]):
        assert len(set(names)) == len(names) and all("\u4e00" <= n[0] <= "\u9fff" for n in names)


@pytest.mark.parametrize("type", "TJS")
def test_the_public_words_that_may_follow_belong_to_the_type_and_all_can_be_reached(type):
    kind, reached = CaseType(type), {"已登记"}
    while more := {
        word for had in reached for word in workflow._NEXT[kind].get(had, ()) if word not in reached
    }:
        reached |= more
    assert reached == set(STATUSES[kind])


def test_a_new_case_waits_for_dispatch_with_its_proposal(sessions, now):
    (number,) = file(sessions, now)
    case = get(sessions, number)
    assert (case.stage, case.status, case.department) == ("waiting", "已登记", "产品质量监督")
    assert (case.due_on, case.urgent, case.closed_at) == (date(2026, 12, 1), False, None)
    assert "dispatch" in actions(case) and "archive" not in actions(case)
    with sessions() as session:
        (event,) = history(session, number)
        assert event.detail["also"] == ["消费者权益保护"]


@pytest.mark.parametrize(
    ("told", "urgent"),
    [
        ({"injury": "有人受伤，已就医"}, True),
        ({"injury": "没有受伤"}, False),
        ({"facts": "孩子吃了拉肚子住院"}, None),
    ],
)
def test_who_tells_of_somebody_hurt_is_urgent(sessions, now, told, urgent):
    (number,) = file(sessions, now, **told)
    if urgent is not None:
        assert get(sessions, number).urgent is urgent


def test_nothing_is_done_where_the_table_does_not_allow_it(sessions, now):
    (number,) = file(sessions, now)
    wrong = {
        dispatch.do_accept: {},
        dispatch.do_handle: {},
        dispatch.do_recall: {"reason": "x"},
        workflow.do_ask_follow_up: {},
        do_archive: {"reason": "x"},
        do_reopen: {"reason": "x"},
    }
    for call, named in wrong.items():
        with pytest.raises(NotNow, match=r"待派单|没有在办理"):
            act(sessions, call, number, now=now, **named)
    with sessions() as session:
        assert len(history(session, number)) == 1
    assert audited(sessions) == []


def test_every_stage_refuses_every_action_that_does_not_start_there(sessions, now):
    (number,) = file(sessions, now)
    for stage, (name, action) in itertools.product(Stage, ACTIONS.items()):
        case = Case(number=number, stage=stage.value, type="T", status="已登记")
        if stage in action.since:
            workflow.check(case, name)
        else:
            with pytest.raises(NotNow, match=stage.label):
                workflow.check(case, name)


def test_an_unknown_case_is_an_error(sessions, now):
    with pytest.raises(UnknownCase):
        act(sessions, do_assign, "JL-T-261122-00099-9", None, now=now)


# public status


def test_a_decision_sets_the_word_and_moves_the_clocks(sessions, now):
    (number,) = file(sessions, now)
    later = now + timedelta(days=2)
    act(sessions, do_status, number, "已受理", now=later)
    case = get(sessions, number)
    assert (case.status, case.stage) == ("已受理", "waiting")
    assert case.due_on == date(2027, 1, 23)  # 60 days of mediation; the seven working days are met
    act(sessions, do_status, number, "达成调解", now=later)
    assert get(sessions, number).due_on is None


def test_a_word_of_another_type_or_the_same_again_is_refused(sessions, now):
    (number,) = file(sessions, now)
    for word in ("立案", "随便", "已登记"):
        with pytest.raises(Wrong):
            act(sessions, do_status, number, word, now=now)


def test_a_step_aside_needs_a_reason(sessions, now):
    (number,) = file(sessions, now)
    with pytest.raises(Wrong, match="更正请写明原因"):
        act(sessions, do_status, number, "已办结", now=now)
    act(sessions, do_status, number, "已办结", now=now, reason="平台已先行调解")
    assert get(sessions, number).status == "已办结"


def test_a_refusal_needs_its_ground(sessions, now):
    (number,) = file(sessions, now)
    for reason in (None, "", "太忙"):
        with pytest.raises(Wrong, match="一至七"):
            act(sessions, do_status, number, "不予受理", now=now, reason=reason)
    act(sessions, do_status, number, "不予受理", now=now, reason="三")
    with sessions() as session:
        assert history(session, number)[-1].detail["ground"] == REFUSAL_GROUNDS["三"]


# assignment, urgency, platform, withdrawal, archive, reopening


def test_assigned_and_set_free(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, do_assign, number, "s1", now=now)
    assert get(sessions, number).assignee_id == "s1"
    act(sessions, do_assign, number, None, now=now)
    assert get(sessions, number).assignee_id is None
    assert audited(sessions) == [("case.assign", f"case:{number}")] * 2


def test_urgency_needs_a_reason(sessions, now):
    (number,) = file(sessions, now)
    with pytest.raises(Wrong, match="原因"):
        act(sessions, do_urgency, number, True, now=now, reason=" ")
    act(sessions, do_urgency, number, True, now=now, reason="多人不适")
    assert get(sessions, number).urgent


@pytest.mark.parametrize("text", ["330523 0000000202105312269", "３３０５２３００００００02021 05312269"])
def test_the_national_platforms_number_has_25_digits(sessions, now, text):
    (number,) = file(sessions, now)
    for wrong in ("", "123", PLATFORM + "1", PLATFORM[:-1]):
        with pytest.raises(Wrong, match="25位"):
            act(sessions, do_platform, number, wrong, now=now)
    act(sessions, do_platform, number, text, now=now)
    assert get(sessions, number).platform_reg_no == PLATFORM


def test_archived_without_a_call_only_with_a_reason(sessions, now):
    (number,) = file(sessions, now)
    answered(sessions, number, now)
    with pytest.raises(Wrong, match="还没有回访"):
        act(sessions, do_archive, number, now=now)
    act(sessions, do_archive, number, now=now, reason="来件人不愿接受回访")
    assert get(sessions, number).closed_at == now


def test_a_closed_case_is_taken_up_again(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, dispatch.do_withdraw, number, reason="已和解", now=now)
    case = get(sessions, number)
    assert (case.stage, case.closed_at, case.due_on) == ("withdrawn", now, None)
    with pytest.raises(Wrong, match="原因"):
        act(sessions, do_reopen, number, now=now, reason="")
    act(sessions, do_reopen, number, now=now, reason="没有履行")
    case = get(sessions, number)
    assert (case.stage, case.closed_at, case.due_on) == ("waiting", None, date(2026, 12, 1))


def test_a_closed_case_is_not_changed(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, dispatch.do_withdraw, number, reason="已和解", now=now)
    assert Stage(get(sessions, number).stage) in CLOSED
    for call, arguments, named in (
        (do_urgency, [True], {"reason": "x"}),
        (do_correct, [{"request": "换货"}], {"reason": "x"}),
        (do_assign, ["s1"], {}),
    ):
        with pytest.raises(NotNow, match="已撤回"):
            act(sessions, call, number, *arguments, now=now, **named)


# corrections


def test_a_corrected_phone_is_what_the_citizen_asks_with(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, do_correct, number, {"phone": "13804321188", "request": ""}, now=now, reason="来电更正")
    with sessions() as session:
        assert find_case(session, number, "13904321187") is None
        case = find_case(session, number, "138 0432 1188")
        assert "request" not in case.fields and case.fields["name"] == "韩梅梅"
        event = history(session, number)[-1]
        assert event.detail["before"] == {"phone": "139****1187", "request": "退款40元"}
        assert event.detail["after"] == {"phone": "138****1188", "request": ""}
        entry = session.scalars(select(audit.AuditEntry)).one()
        assert entry.detail == {"fields": ["phone", "request"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phone": ""}, "电话"),
        ({"phone": "1380432"}, "位"),
        ({"facts": " "}, "不能为空"),
        ({"id_card": "1"}, "没有可更正的"),
        ({"request": "退款40元"}, "没有需要更正"),
        ({}, "没有需要更正"),
    ],
)
def test_a_wrong_correction_changes_nothing(sessions, now, changes, message):
    (number,) = file(sessions, now)
    with pytest.raises(Wrong, match=message):
        act(sessions, do_correct, number, changes, now=now, reason="更正")
    assert get(sessions, number).fields == FIELDS


def test_a_correction_needs_a_reason_and_keeps_no_id_number(sessions, now):
    (number,) = file(sessions, now, COMPLAINT)
    with pytest.raises(Wrong, match="原因"):
        act(sessions, do_correct, number, {"request": "换货"}, now=now, reason="")
    act(sessions, do_correct, number, {"facts": "身份证11010519491231002X"}, now=now, reason="补充")
    assert "11010519491231002X" not in get(sessions, number).fields["facts"]


@pytest.mark.parametrize("field", ["name", "phone", "address", "company"])
def test_an_anonymous_case_stays_anonymous(sessions, now, field):
    (number,) = file(sessions, now, ANONYMOUS)
    with pytest.raises(Wrong, match="没有可更正的"):
        act(sessions, do_correct, number, {field: "13904321187"}, now=now, reason="本人来电")
    case = get(sessions, number)
    assert not {"name", "phone", "address", "company"} & set(case.fields) and case.phone_hash is None
