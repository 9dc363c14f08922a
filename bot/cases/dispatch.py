"""Dispatch (派单): one 主办, any number of 协办, an opinion and a time limit; accepted, answered or sent back.

A department that lacks the power sends the case back to the dispatcher, never sideways: 不得自行移送 (总局令第20号 Art 37(2),
repealed; the article of 第121号 is not seen). Each change commits together with what the departments are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases import workflow
from bot.cases.calendar import local_date
from bot.cases.models import Case, CaseType, Dispatch
from bot.cases.push import Notice, is_reported_side, push
from bot.cases.workflow import NotNow, Wrong, change, check, locked

LONGEST = 64  # characters of a department's name


def dispatches(session: Session, number: str) -> list[Dispatch]:
    """All dispatches of a case, oldest first."""
    query = select(Dispatch).where(Dispatch.case_number == number).order_by(Dispatch.at, Dispatch.part)
    return list(session.scalars(query))


def running(session: Session, number: str) -> list[Dispatch]:
    """Those that a department has now, the 主办 first."""
    return sorted(
        (d for d in dispatches(session, number) if d.state in ("sent", "accepted")), key=lambda d: d.part
    )


def _names(names: Sequence[str]) -> list[str]:
    cleaned = [name.strip() for name in names]
    if any(not 2 <= len(name) <= LONGEST for name in cleaned):
        raise Wrong(f"部门名称应为2到{LONGEST}个字。")
    if len(set(cleaned)) != len(cleaned):
        raise Wrong("同一个部门不能重复派单。")
    return cleaned


def check_dispatch(
    case: Case, lead: str, support: Sequence[str], opinion: str, due_on: date | None, today: date
) -> None:
    """Raises `NotNow` or `Wrong` unless the case can go to these departments: not to the reported side of a 举报."""
    check(case, "dispatch")
    _check_receivers(case, [lead, *support])
    if not opinion.strip():
        raise Wrong("请填写派单意见。")
    if due_on is not None and due_on < today:
        raise Wrong("办理时限不能早于今天。")


def _check_receivers(case: Case, names: Sequence[str]) -> None:
    for name in _names(names):
        if case.type == CaseType.REPORT.value and is_reported_side(case, name):
            raise Wrong(f"“{name}”是被举报方，举报不能派给被举报方。")


def do_dispatch(
    session: Session,
    number: str,
    *,
    lead: str,
    support: Sequence[str] = (),
    opinion: str,
    due_on: date | None = None,
    actor: str,
    now: datetime,
) -> list[Dispatch]:
    """Send a case to its 主办 and 协办 departments and queue the pushes. Returns the dispatches, 主办 first."""
    case = locked(session, number)
    check_dispatch(case, lead, support, opinion, due_on, local_date(now))
    return _send(session, case, "dispatch", lead, support, opinion, due_on, actor, now)


def _send(
    session: Session,
    case: Case,
    name: str,
    lead: str,
    support: Sequence[str],
    opinion: str,
    due_on: date | None,
    actor: str,
    now: datetime,
) -> list[Dispatch]:
    lead, *others = _names([lead, *support])
    sent = [_add(session, case, "lead", lead, opinion, due_on, actor, now)]
    sent += [_add(session, case, "support", other, opinion, due_on, actor, now) for other in others]
    case.department = lead
    session.flush()
    for dispatch in sent:
        push(session, case, dispatch, "dispatch" if dispatch.part == "lead" else "support", now)
    told = {"lead": lead, "support": others, "due_on": due_on.isoformat() if due_on else None}
    change(session, case, name, actor=actor, now=now, detail={**told, "opinion": opinion}, audited=told)
    return sent


def _add(
    session: Session,
    case: Case,
    part: str,
    department: str,
    opinion: str,
    due_on: date | None,
    actor: str,
    now: datetime,
) -> Dispatch:
    dispatch = Dispatch(
        case_number=case.number,
        part=part,
        department=department,
        opinion=opinion.strip(),
        due_on=due_on,
        by=actor,
        at=now,
        changed_at=now,
    )
    session.add(dispatch)
    session.flush()
    return dispatch


def do_support(
    session: Session,
    number: str,
    departments: Sequence[str],
    *,
    opinion: str,
    due_on: date | None = None,
    actor: str,
    now: datetime,
) -> list[Dispatch]:
    """Add 协办 departments to a case that is with its 主办."""
    case = locked(session, number)
    check(case, "support")
    if not departments or not opinion.strip():
        raise Wrong("请填写协办部门和意见。")
    _check_receivers(case, departments)
    there = {dispatch.department for dispatch in running(session, number)}
    if again := [name for name in departments if name.strip() in there]:
        raise Wrong(f"“{again[0]}”已经在办理这个工单。")
    sent = [_add(session, case, "support", name, opinion, due_on, actor, now) for name in _names(departments)]
    for dispatch in sent:
        push(session, case, dispatch, "support", now)
    told = {"support": [dispatch.department for dispatch in sent]}
    change(session, case, "support", actor=actor, now=now, detail={**told, "opinion": opinion}, audited=told)
    return sent


def _of(session: Session, case: Case, dispatch_id: str | None) -> Dispatch:
    """The running dispatch of that id, by default the 主办's."""
    found = running(session, case.number)
    if dispatch_id is None:
        found = [dispatch for dispatch in found if dispatch.part == "lead"]
    else:
        found = [dispatch for dispatch in found if dispatch.id == dispatch_id]
    if not found:
        raise NotNow("这个部门现在没有在办理这个工单。")
    return found[0]


def do_accept(
    session: Session, number: str, *, actor: str, now: datetime, dispatch_id: str | None = None
) -> Case:
    """The department has taken it (签收); the 主办's moves the case on."""
    case = locked(session, number)
    dispatch = _of(session, case, dispatch_id)
    if dispatch.state != "sent":
        raise NotNow("这个部门已经签收。")
    dispatch.state, dispatch.changed_at = "accepted", now
    told = {"department": dispatch.department, "part": dispatch.part}
    name = "accept" if dispatch.part == "lead" else "support_accepted"
    change(session, case, name, actor=actor, now=now, detail=told, audited=told)
    return case


def do_handle(session: Session, number: str, *, actor: str, now: datetime) -> Case:
    """The 主办 has begun (办理中)."""
    case = locked(session, number)
    check(case, "handle")
    dispatch = _of(session, case, None)
    dispatch.state, dispatch.changed_at = "accepted", now
    told = {"department": dispatch.department}
    change(session, case, "handle", actor=actor, now=now, detail=told, audited=told)
    return case


def do_return(
    session: Session,
    number: str,
    *,
    reason: str,
    explanation: str = "",
    actor: str,
    now: datetime,
    dispatch_id: str | None = None,
) -> Case:
    """A department sends the case back to the dispatcher, with one of `RETURN_REASONS`; 其他原因 needs words.

    Where it should go instead may stand in the explanation; it goes nowhere by itself. When the 主办 sends it back the
    case waits for dispatch again and the 协办 are called back; a 协办's return leaves the case where it is.
    """
    case = locked(session, number)
    check(case, "return")
    if reason not in workflow.RETURN_REASONS:
        raise Wrong("请选择退回原因。")
    if reason == "其他原因" and not explanation.strip():
        raise Wrong("选“其他原因”请写明情况。")
    dispatch = _of(session, case, dispatch_id)
    dispatch.state, dispatch.returned_reason, dispatch.changed_at = "returned", reason, now
    dispatch.result = explanation.strip() or None
    lead = dispatch.part == "lead"
    if lead:
        call_back(session, case, "recall", now)
    told = {"department": dispatch.department, "part": dispatch.part, "reason": reason}
    change(
        session,
        case,
        "return" if lead else "support_returned",
        actor=actor,
        now=now,
        detail={**told, "explanation": explanation},
        audited=told,
    )
    return case


def do_answer(
    session: Session,
    number: str,
    *,
    result: str,
    actor: str,
    now: datetime,
    dispatch_id: str | None = None,
) -> Case:
    """What came of it (反馈), from a department or, for a case that went nowhere, from the hotline itself.

    The 主办's answer moves the case on; a 协办's is written down for it. The public word of a 投诉 or 举报 is not set by
    this: 受理, 调解 and 立案 are decisions of their own (`workflow.do_status`).
    """
    case = locked(session, number)
    if not result.strip():
        raise Wrong("请填写办理结果。")
    part, department = "lead", "12315"
    if workflow.Stage(case.stage) in workflow.AT_DEPARTMENT:
        dispatch = _of(session, case, dispatch_id)
        if dispatch.part == "lead":
            check(case, "answer")
        dispatch.state, dispatch.result, dispatch.changed_at = "answered", result.strip(), now
        part, department = dispatch.part, dispatch.department
    told = {"department": department, "part": part}
    name = "answer" if part == "lead" else "support_answered"
    change(session, case, name, actor=actor, now=now, detail={**told, "result": result}, audited=told)
    return case


def do_recall(session: Session, number: str, *, reason: str, actor: str, now: datetime) -> Case:
    """Take a dispatch back (撤回派单): it went to the wrong place. The departments are told."""
    case = locked(session, number)
    check(case, "recall")
    if not reason.strip():
        raise Wrong("请写明撤回派单的原因。")
    call_back(session, case, "recall", now)
    change(session, case, "recall", actor=actor, now=now, detail={"reason": reason})
    return case


def do_withdraw(session: Session, number: str, *, reason: str, actor: str, now: datetime) -> Case:
    """The citizen takes the matter back; departments that have it are told."""
    case = locked(session, number)
    check(case, "withdraw")
    call_back(session, case, "withdraw", now)
    return workflow.do_withdraw(session, number, actor=actor, now=now, reason=reason)


def do_redo(
    session: Session, number: str, *, opinion: str, due_on: date | None, actor: str, now: datetime
) -> list[Dispatch]:
    """Second handling (二次办理) by the department that had it, after a citizen was not satisfied.

    Raises `NotNow` if no department had it: such a case is reopened.
    """
    case = locked(session, number)
    check(case, "redo")
    had = [dispatch for dispatch in dispatches(session, number) if dispatch.part == "lead"]
    if not had:
        raise NotNow("这个工单没有派过单，请选择重新办理。")
    if not opinion.strip():
        raise Wrong("请填写二次办理的意见。")
    if due_on is not None and due_on < local_date(now):
        raise Wrong("办理时限不能早于今天。")
    return _send(session, case, "redo", had[-1].department, (), opinion, due_on, actor, now)


def call_back(session: Session, case: Case, notice: Notice, now: datetime) -> None:
    """Take back what departments have of a locked case, and tell them."""
    for dispatch in running(session, case.number):
        dispatch.state, dispatch.changed_at = "withdrawn", now
        push(session, case, dispatch, notice, now)
