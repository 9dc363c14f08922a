"""What can be done to a case from its page: one table of forms over the services of `bot.cases`.

Each act names its permission, what it asks for, and the call. The page shows those that the case's stage allows; the
service checks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases import dispatch, follow_ups, linking, supervision, workflow
from bot.cases.receipts import parse_number
from bot.crypto import mask_text
from bot.desk.models import Note
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission

View = Mapping[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One thing that is asked for. `kind`: text, long, date, choice, choices, free (choice or own words), flag."""

    name: str
    label: str
    kind: str = "text"
    options: Callable[[View], Any] | None = None
    value: Callable[[View], Any] | None = None


@dataclass(frozen=True)
class Doing:
    """Who does it to which case, when."""

    session: Session
    number: str
    actor: str
    staff: Staff
    now: datetime

    @property
    def more(self) -> dict[str, Any]:
        """The keywords that all services take."""
        return {"actor": self.actor, "now": self.now}


@dataclass(frozen=True)
class Act:
    """One act. `name` is the transition in `workflow.ACTIONS` that must be possible (a note always is); `shown` narrows it further."""

    name: str
    label: str
    permission: Permission
    run: Callable[[Doing, Values], Any]
    asks: tuple[Entry, ...] = ()
    key: str = ""
    kind: str = ""
    group: str = "more"
    shown: Callable[[View], bool] = field(default=lambda view: True)


def _day(value: Any) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise workflow.Wrong("日期写法不对，例如2026-12-01。") from None


def other_number(written: str) -> str:
    """Another case's number as it is stored; raises UNKNOWN_CASE."""
    parsed = parse_number(written or "")
    if parsed is None or parsed.number is None:
        raise HotlineError(Problem.UNKNOWN_CASE)
    return parsed.number


def _departments(view: View) -> list[str]:
    from bot.desk.pages.cases import departments

    own = [view["proposal"]["department"], *view["proposal"]["also"]]
    return list(dict.fromkeys([*own, *departments()]))


def _running(view: View) -> dict[str, str]:
    return {
        d["id"]: f"{d['part']} {d['department']}"
        for d in view["dispatches"]
        if d["state"] in ("sent", "accepted")
    }


def _lead(view: View) -> str | None:
    return next(
        (d["id"] for d in view["dispatches"] if d["part"] == "主办" and d["state"] in ("sent", "accepted")),
        None,
    )


OPINION = Entry("opinion", "意见", "long")
DUE = Entry("due_on", "时限（可不填）", "date")
REASON = Entry("reason", "原因", "long")
WHOSE = Entry("dispatch_id", "哪个部门", "choice", _running, _lead)


def _note(do: Doing, v: Values) -> None:
    body = (v["body"] or "").strip()
    if not body:
        raise HotlineError(Problem.EMPTY)
    workflow.locked(do.session, do.number)
    do.session.add(
        Note(
            case_number=do.number, staff_id=do.staff.id, body=mask_text(body[:2000], phones=False), at=do.now
        )
    )
    audit.record(do.session, do.actor, "case.note", f"case:{do.number}", now=do.now)


def _assign(do: Doing, v: Values) -> None:
    who = (
        do.session.scalar(select(Staff).where(Staff.id == v["staff_id"], Staff.active.is_(True)))
        if v["staff_id"]
        else None
    )
    if v["staff_id"] and who is None:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    workflow.do_assign(do.session, do.number, who.id if who else None, **do.more)


def _follow_up(do: Doing, v: Values) -> None:
    reached = v["reached"] == "接通"
    call = follow_ups.Call(
        reached=reached,
        solved=(v["solved"] == "是" if v["solved"] else None) if reached else None,
        satisfaction=v["satisfaction"] if reached else None,
        reason=v["reason"] or "",
        then=v["then"] if reached else "none",
        opinion=v["opinion"] or "",
        due_on=_day(v["due_on"]),
    )
    follow_ups.do_follow_up(do.session, do.number, call, **do.more)


def _status(do: Doing, v: Values) -> None:
    reason = v["ground"] if v["status"] == "不予受理" else v["reason"]
    workflow.do_status(do.session, do.number, v["status"] or "", reason=reason or None, **do.more)


def _supervise(do: Doing, v: Values) -> None:
    supervision.do_supervise(do.session, do.number, opinion=v["opinion"] or "", **do.more)


def _statuses(view: View) -> list[str]:
    from bot.cases.models import STATUSES, CaseType

    nexts = view["next_statuses"]
    return [*nexts, *(s for s in STATUSES[CaseType(view["type"])] if s not in nexts and s != view["status"])]


ACTS: tuple[Act, ...] = (
    Act(
        "dispatch", "派单", Permission.DISPATCH,
        lambda do, v: dispatch.do_dispatch(
            do.session, do.number, lead=v["lead"] or "", support=v["support"] or [], opinion=v["opinion"] or "",
            due_on=_day(v["due_on"]), **do.more,
        ),
        (
            Entry("lead", "主办部门（一个）", "free", _departments, lambda view: view["proposal"]["department"]),
            Entry("support", "协办部门（可多个）", "choices", _departments),
            OPINION, DUE,
        ),
        key="d", kind="primary", group="main",
    ),
    Act(
        "accept", "签收", Permission.DISPATCH,
        lambda do, v: dispatch.do_accept(do.session, do.number, dispatch_id=v["dispatch_id"], **do.more),
        (WHOSE,), key="a", kind="primary", group="main",
    ),
    Act(
        "handle", "开始办理", Permission.DISPATCH,
        lambda do, v: dispatch.do_handle(do.session, do.number, **do.more), key="h", group="main",
    ),
    Act(
        "answer", "记录反馈", Permission.DISPATCH,
        lambda do, v: dispatch.do_answer(
            do.session, do.number, result=v["result"] or "", dispatch_id=v.get("dispatch_id"), **do.more
        ),
        (WHOSE, Entry("result", "办理结果", "long")), key="b", group="main",
    ),
    Act(
        "follow_up", "回访", Permission.DISPATCH, _follow_up,
        (
            Entry("reached", "电话", "choice", lambda view: ["接通", "未接通"], lambda view: "接通"),
            Entry("solved", "问题解决了吗", "choice", lambda view: ["是", "否"]),
            Entry("satisfaction", "满意度", "choice", lambda view: list(follow_ups.SATISFACTION)),
            Entry("reason", "原因（不满意必填）", "long"),
            Entry(
                "then", "接下来", "choice",
                lambda view: {"none": "不再办理", "redo": "二次办理（原部门）", "reopen": "重新办理（重新派单）"},
                lambda view: "none",
            ),
            Entry("opinion", "二次办理的意见", "long"), DUE,
        ),
        key="v", kind="primary", group="main", shown=lambda view: not view["anonymous"],
    ),
    Act(
        "ask_follow_up", "转回访", Permission.EDIT_CASE,
        lambda do, v: workflow.do_ask_follow_up(do.session, do.number, **do.more), group="main",
    ),
    Act(
        "return", "退回", Permission.DISPATCH,
        lambda do, v: dispatch.do_return(
            do.session, do.number, reason=v["reason"] or "", explanation=v["explanation"] or "",
            dispatch_id=v["dispatch_id"], **do.more,
        ),
        (
            WHOSE, Entry("reason", "退回原因", "choice", lambda view: list(workflow.RETURN_REASONS)),
            Entry("explanation", "说明", "long"),
        ),
        key="r", group="main",
    ),
    Act(
        "support", "追加协办", Permission.DISPATCH,
        lambda do, v: dispatch.do_support(
            do.session, do.number, v["departments"] or [], opinion=v["opinion"] or "", due_on=_day(v["due_on"]), **do.more
        ),
        (Entry("departments", "协办部门", "choices", _departments), OPINION, DUE),
    ),
    Act(
        "recall", "撤回派单", Permission.DISPATCH,
        lambda do, v: dispatch.do_recall(do.session, do.number, reason=v["reason"] or "", **do.more), (REASON,),
    ),
    Act(
        "redo", "二次办理", Permission.DISPATCH,
        lambda do, v: dispatch.do_redo(do.session, do.number, opinion=v["opinion"] or "", due_on=_day(v["due_on"]), **do.more),
        (OPINION, DUE), shown=lambda view: any(d["part"] == "主办" for d in view["dispatches"]),
    ),
    Act("supervise", "督办", Permission.SUPERVISE, _supervise, (Entry("opinion", "督办意见", "long"),), key="u"),
    Act(
        "supervise", "解除督办", Permission.SUPERVISE,
        lambda do, v: supervision.do_release(do.session, do.number, reason=v["reason"] or "", **do.more),
        (REASON,), shown=lambda view: view["supervised"],
    ),
    Act(
        "status", "改对外状态", Permission.EDIT_CASE, _status,
        (
            Entry("status", "状态", "choice", _statuses),
            Entry("ground", "不予受理的理由", "choice", lambda view: {k: f"（{k}）{t}" for k, t in workflow.REFUSAL_GROUNDS.items()}),
            Entry("reason", "更正的原因（跳步时必填）", "long"),
        ),
        key="s",
    ),
    Act(
        "assign", "指定经办人", Permission.EDIT_CASE, _assign,
        (Entry("staff_id", "经办人", "choice", lambda view: view["colleagues"], lambda view: view["assignee_id"]),),
    ),
    Act(
        "urgency", "加急", Permission.EDIT_CASE,
        lambda do, v: workflow.do_urgency(do.session, do.number, True, reason=v["reason"] or "", **do.more),
        (REASON,), shown=lambda view: not view["urgent"],
    ),
    Act(
        "urgency", "取消加急", Permission.EDIT_CASE,
        lambda do, v: workflow.do_urgency(do.session, do.number, False, reason=v["reason"] or "", **do.more),
        (REASON,), shown=lambda view: view["urgent"],
    ),
    Act(
        "platform", "全国平台编号", Permission.EDIT_CASE,
        lambda do, v: workflow.do_platform(do.session, do.number, v["platform"] or "", **do.more),
        (Entry("platform", "25位登记编号", "text", None, lambda view: view["platform_reg_no"] or ""),),
    ),
    Act(
        "merge", "并入另一件", Permission.MERGE,
        lambda do, v: linking.do_merge(do.session, do.number, other_number(v["number"]), reason=v["reason"] or "", **do.more),
        (Entry("number", "并入的工单编号"), REASON),
    ),
    Act(
        "link", "关联投诉和举报", Permission.MERGE,
        lambda do, v: linking.do_link(do.session, do.number, other_number(v["number"]), **do.more),
        (Entry("number", "另一件的编号"),), shown=lambda view: view["type"] in "TJ" and not view["twin_number"],
    ),
    Act(
        "archive", "归档", Permission.EDIT_CASE,
        lambda do, v: workflow.do_archive(do.session, do.number, reason=v["reason"] or None, **do.more),
        (Entry("reason", "没有回访就归档的原因", "long"),),
    ),
    Act(
        "withdraw", "市民撤回", Permission.EDIT_CASE,
        lambda do, v: dispatch.do_withdraw(do.session, do.number, reason=v["reason"] or "", **do.more), (REASON,), kind="danger",
    ),
    Act(
        "reopen", "重新办理", Permission.EDIT_CASE,
        lambda do, v: workflow.do_reopen(do.session, do.number, reason=v["reason"] or "", **do.more), (REASON,),
    ),
    Act("note", "写备注", Permission.EDIT_CASE, _note, (Entry("body", "备注，市民看不到", "long"),), key="n"),
)  # fmt: skip
