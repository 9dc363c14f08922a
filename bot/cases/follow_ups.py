"""Satisfaction calls (回访): 总局令第121号 makes them a rule, GB/T 33358 a part of the work order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.dispatch import do_redo
from bot.cases.models import Case, FollowUp
from bot.cases.workflow import Wrong, change, check, do_reopen, locked

SATISFACTION = ("非常满意", "满意", "基本满意", "不满意", "非常不满意")
DISSATISFIED = SATISFACTION[3:]
Then = Literal["none", "reopen", "redo"]


@dataclass(frozen=True)
class Call:
    """What a call gave. `then` is what follows a dissatisfied answer: 重新办理 or 二次办理, or nothing with its reason.

    A call that reached nobody has nothing else.
    """

    reached: bool
    solved: bool | None = None
    satisfaction: str | None = None
    reason: str = ""
    then: Then = "none"
    opinion: str = ""
    due_on: date | None = None


def follow_ups(session: Session, number: str) -> list[FollowUp]:
    """All calls of a case, oldest first."""
    query = select(FollowUp).where(FollowUp.case_number == number).order_by(FollowUp.at)
    return list(session.scalars(query))


def check_call(case: Case, call: Call) -> None:
    """Raises `NotNow` before there is an answer, `Wrong` for what does not fit together."""
    check(case, "follow_up")
    if not call.reached:
        if call.satisfaction or call.solved is not None or call.then != "none":
            raise Wrong("没有接通的回访不能填满意度。")
        return
    if call.satisfaction not in SATISFACTION or call.solved is None:
        raise Wrong("请填写是否解决和满意度。")
    if call.satisfaction in DISSATISFIED and not call.reason.strip():
        raise Wrong("不满意请写明原因。")
    if call.then != "none" and call.satisfaction not in DISSATISFIED and call.solved:
        raise Wrong("已解决且满意的不用再办理。")


def do_follow_up(session: Session, number: str, call: Call, *, actor: str, now: datetime) -> FollowUp:
    """Write a call down, and take the case up again if that is what follows. Anonymous cases have nobody to call."""
    case = locked(session, number)
    if case.anonymous:
        raise Wrong("匿名工单没有联系方式，不用回访。")
    check_call(case, call)
    made = FollowUp(
        case_number=number,
        reached=call.reached,
        solved=call.solved,
        satisfaction=call.satisfaction,
        reason=call.reason.strip() or None,
        by=actor,
        at=now,
    )
    session.add(made)
    told = {"reached": call.reached, "solved": call.solved, "satisfaction": call.satisfaction}
    name = "follow_up" if call.reached else "unreached"
    change(session, case, name, actor=actor, now=now, detail={**told, "reason": call.reason}, audited=told)
    if call.then == "reopen":
        do_reopen(session, number, actor=actor, now=now, reason=call.reason or "回访不满意")
    elif call.then == "redo":
        opinion = call.opinion or "回访不满意，请再次办理并反馈。"
        do_redo(session, number, opinion=opinion, due_on=call.due_on, actor=actor, now=now)
    return made
