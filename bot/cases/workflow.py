"""The work order (工单) inside the hotline: where it stands, what may happen next, and what anyone does to it.

`stage` is ours (domain.md 4.4); `status` is the word the citizen reads (`STATUSES`). `check_…` raises, `do_…` changes:
each change locks the case, appends a `CaseEvent`, and leaves an audit entry. Functions flush, the caller commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases import store
from bot.cases.drafts import CaseError
from bot.cases.fields import CONTACT, check_phone, fields_of, mask_phone, told_of
from bot.cases.models import STATUSES, Case, CaseEvent, CaseType
from bot.cases.search import platform_number
from bot.cases.terms import index_case, terms_of
from bot.crypto import data_key, mask_text


class UnknownCase(CaseError):
    """There is no such case."""


class NotNow(CaseError):
    """The case stands where this cannot be done. The message is for staff, in Chinese."""


class Wrong(CaseError):
    """What was given cannot be used. The message is for staff, in Chinese."""


class Stage(str, Enum):
    """Where a work order stands."""

    REGISTERED = "registered"
    WAITING = "waiting"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    HANDLING = "handling"
    RETURNED = "returned"
    ANSWERED = "answered"
    TO_FOLLOW_UP = "to_follow_up"
    FOLLOWED_UP = "followed_up"
    ARCHIVED = "archived"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"

    @property
    def label(self) -> str:
        """The Chinese term (domain.md 4.4)."""
        return _LABELS[self]


_LABELS = {
    Stage.REGISTERED: "已登记",
    Stage.WAITING: "待派单",
    Stage.DISPATCHED: "已派单",
    Stage.ACCEPTED: "已签收",
    Stage.HANDLING: "办理中",
    Stage.RETURNED: "已退回",
    Stage.ANSWERED: "已反馈",
    Stage.TO_FOLLOW_UP: "待回访",
    Stage.FOLLOWED_UP: "已回访",
    Stage.ARCHIVED: "已归档",
    Stage.MERGED: "已并单",
    Stage.WITHDRAWN: "已撤回",
}
_TO_DISPATCH = frozenset({Stage.REGISTERED, Stage.WAITING, Stage.RETURNED})
AT_DEPARTMENT = frozenset({Stage.DISPATCHED, Stage.ACCEPTED, Stage.HANDLING})
_DONE = frozenset({Stage.ANSWERED, Stage.TO_FOLLOW_UP, Stage.FOLLOWED_UP})
CLOSED = frozenset({Stage.ARCHIVED, Stage.MERGED, Stage.WITHDRAWN})
_OPEN = frozenset(Stage) - CLOSED


@dataclass(frozen=True)
class Action:
    """One thing that is done to a work order: its name for staff, from where, to where (`None`: stays).

    `by_hand` is false for what only comes along with something else.
    """

    label: str
    since: frozenset[Stage]
    to: Stage | None
    by_hand: bool = True


ACTIONS: Mapping[str, Action] = {
    "dispatch": Action("派单", _TO_DISPATCH, Stage.DISPATCHED),
    "support": Action("追加协办", AT_DEPARTMENT, None),
    "recall": Action("撤回派单", AT_DEPARTMENT, Stage.WAITING),
    "accept": Action("签收", frozenset({Stage.DISPATCHED}), Stage.ACCEPTED),
    "handle": Action("开始办理", frozenset({Stage.DISPATCHED, Stage.ACCEPTED}), Stage.HANDLING),
    "return": Action("退回", AT_DEPARTMENT, Stage.RETURNED),
    "answer": Action("反馈", frozenset({Stage.ACCEPTED, Stage.HANDLING}) | _TO_DISPATCH, Stage.ANSWERED),
    "ask_follow_up": Action("转回访", frozenset({Stage.ANSWERED}), Stage.TO_FOLLOW_UP),
    "follow_up": Action("回访", _DONE, Stage.FOLLOWED_UP),
    "unreached": Action("回访未接通", _DONE, Stage.TO_FOLLOW_UP),
    "redo": Action("二次办理", _DONE, Stage.DISPATCHED),
    "archive": Action("归档", _DONE, Stage.ARCHIVED),
    "merge": Action("并单", _OPEN, Stage.MERGED),
    "withdraw": Action("撤回", _OPEN, Stage.WITHDRAWN),
    "reopen": Action("重新办理", _DONE | CLOSED, Stage.WAITING),
    "supervise": Action("督办", _OPEN, None),
    "correct": Action("更正内容", _OPEN, None),
    "assign": Action("指定经办人", _OPEN, None),
    "urgency": Action("加急", _OPEN, None),
    "status": Action("改状态", frozenset(Stage), None),
    "platform": Action("登记平台编号", frozenset(Stage), None),
    "link": Action("关联", _OPEN, None),
    "support_accepted": Action("协办签收", AT_DEPARTMENT, None, by_hand=False),
    "support_returned": Action("协办退回", AT_DEPARTMENT, None, by_hand=False),
    "support_answered": Action("协办反馈", AT_DEPARTMENT, None, by_hand=False),
    "merged_in": Action("并入", _OPEN, None, by_hand=False),
}
"""The transition table; nothing changes a stage but `change`."""

RETURN_REASONS = (
    "缺失要素",
    "表述不清",
    "类型有误",
    "地址不详",
    "已有知识",
    "重复受理",
    "市民撤诉",
    "不属本职",
    "其他原因",
)
"""Reasons for sending a work order back (退单原因), as a real back office has them (domain.md 2.2)."""

REFUSAL_GROUNDS = {
    "一": "不属于市场监督管理部门职责，或者本行政机关不具有处理权限",
    "二": "法院、仲裁机构、市场监管部门或者其他行政机关、消费者协会已经受理或者处理过同一争议",
    "三": "不是为生活消费需要，或者不能证明存在消费者权益争议",
    "四": "知道或者应当知道权益受侵害之日起超过三年",
    "五": "未按规定提供材料，或者提供虚假材料",
    "六": "冒用他人名义，或者拒不配合核验真实身份信息",
    "七": "法律、法规、规章规定的其他情形",
}
"""Grounds on which a person may refuse a 投诉 (总局令第121号 Art 16, by a transcription [B+]): for staff only."""

_NEXT: Mapping[CaseType, Mapping[str, tuple[str, ...]]] = {
    CaseType.COMPLAINT: {
        "已登记": ("待受理", "已受理", "不予受理"),
        "待受理": ("已受理", "不予受理"),
        "已受理": ("调解中", "终止调解", "达成调解"),
        "调解中": ("终止调解", "达成调解"),
        "终止调解": ("已办结",),
        "达成调解": ("已办结",),
    },
    CaseType.REPORT: {
        "已登记": ("核查中", "立案", "不予立案"),
        "核查中": ("立案", "不予立案"),
        "立案": ("已告知",),
        "不予立案": ("已告知",),
    },
    CaseType.REQUEST: {
        "已登记": ("已转办", "办理中", "已反馈"),
        "已转办": ("办理中", "已反馈"),
        "办理中": ("已反馈",),
        "已反馈": ("已回访", "办理中"),
        "已回访": ("办理中",),
    },
}
_STATUS_OF: Mapping[tuple[CaseType, Stage], str] = {
    (CaseType.COMPLAINT, Stage.DISPATCHED): "待受理",
    (CaseType.REPORT, Stage.ACCEPTED): "核查中",
    (CaseType.REPORT, Stage.HANDLING): "核查中",
    (CaseType.REQUEST, Stage.DISPATCHED): "已转办",
    (CaseType.REQUEST, Stage.ACCEPTED): "办理中",
    (CaseType.REQUEST, Stage.HANDLING): "办理中",
    (CaseType.REQUEST, Stage.ANSWERED): "已反馈",
    (CaseType.REQUEST, Stage.FOLLOWED_UP): "已回访",
}


def _kind(case: Case) -> CaseType:
    """A 意见建议 has the status words of a 诉求."""
    type = CaseType(case.type)
    return CaseType.REQUEST if type is CaseType.SUGGESTION else type


def next_statuses(case: Case) -> tuple[str, ...]:
    """The status words that may follow."""
    return _NEXT[_kind(case)].get(case.status, ())


def locked(session: Session, number: str) -> Case:
    """The case as the database has it now, locked until the transaction ends. Raises `UnknownCase`."""
    session.flush()
    case = session.get(Case, number, with_for_update=True, populate_existing=True)
    if case is None:
        raise UnknownCase("没有找到这个工单。")
    return case


def actions(case: Case) -> list[str]:
    """What can be done to the case now, in the order of the table."""
    return [name for name, action in ACTIONS.items() if action.by_hand and Stage(case.stage) in action.since]


def check(case: Case, name: str) -> Action:
    """Raises `NotNow` unless the case stands where `name` may be done."""
    action, stage = ACTIONS[name], Stage(case.stage)
    if stage not in action.since:
        raise NotNow(f"工单目前是“{stage.label}”，不能{action.label}。")
    return action


def change(
    session: Session,
    case: Case,
    name: str,
    *,
    actor: str,
    now: datetime,
    detail: dict[str, Any] | None = None,
    audited: dict[str, Any] | None = None,
    status: str | None = None,
) -> CaseEvent:
    """Do `name` to a locked case: its stage, the public status that goes with it, one event, one audit entry.

    `audited` is what the audit log gets of `detail`: no personal data, as it can never be erased. The caller has
    checked everything else; call it last, it locks the audit log's head.
    """
    action = check(case, name)
    if action.to is not None:
        case.stage = action.to.value
        if action.to in CLOSED:
            case.closed_at = now
        elif case.closed_at is not None:
            case.closed_at = None
    case.updated_at = now
    follows = _STATUS_OF.get((_kind(case), action.to)) if action.to is not None else None
    word = status or (follows if follows in next_statuses(case) else None)
    event = store.add_event(session, case, name, actor=actor, now=now, status=word, detail=detail)
    store.refresh_due(session, case)
    audit.record(session, actor, f"case.{name}", f"case:{case.number}", audited, now=now)
    return event


# -- what is not a dispatch -------------------------------------------------------------------------


def check_status(case: Case, status: str, reason: str | None) -> None:
    """Raises `Wrong` unless `status` may follow; a step back or aside is a correction and needs a reason.

    不予受理 needs its ground (一 to 七): only a person refuses, and says why.
    """
    if status not in STATUSES[CaseType(case.type)]:
        raise Wrong(f"{CaseType(case.type).label}没有“{status}”这个状态。")
    if status == case.status:
        raise Wrong(f"工单已经是“{status}”。")
    if status == "不予受理" and (reason or "") not in REFUSAL_GROUNDS:
        raise Wrong("不予受理要选定理由（一至七项）。")
    if status not in next_statuses(case) and not (reason or "").strip():
        raise Wrong(f"“{case.status}”之后一般不是“{status}”，更正请写明原因。")


def do_status(
    session: Session, number: str, status: str, *, actor: str, now: datetime, reason: str | None = None
) -> Case:
    """Set the public status word as the competent office decided it."""
    case = locked(session, number)
    check_status(case, status, reason)
    ground = REFUSAL_GROUNDS.get(reason or "") if status == "不予受理" else None
    detail = {"before": case.status, "reason": reason, "ground": ground}
    audited = {"before": case.status, "status": status}
    change(session, case, "status", actor=actor, now=now, detail=detail, audited=audited, status=status)
    return case


def do_assign(session: Session, number: str, staff_id: str | None, *, actor: str, now: datetime) -> Case:
    """Make a colleague responsible (经办人), or nobody."""
    case = locked(session, number)
    check(case, "assign")
    case.assignee_id = staff_id
    detail = {"staff_id": staff_id}
    change(session, case, "assign", actor=actor, now=now, detail=detail, audited=detail)
    return case


def do_urgency(
    session: Session, number: str, urgent: bool, *, actor: str, now: datetime, reason: str
) -> Case:
    """Put a case in front of the queue, or back."""
    case = locked(session, number)
    check(case, "urgency")
    if not reason.strip():
        raise Wrong("请写明加急或取消加急的原因。")
    case.urgent = urgent
    change(
        session,
        case,
        "urgency",
        actor=actor,
        now=now,
        detail={"urgent": urgent, "reason": reason},
        audited={"urgent": urgent},
    )
    return case


def do_platform(session: Session, number: str, platform_no: str, *, actor: str, now: datetime) -> Case:
    """Note the national platform's registration number (登记编号), 25 digits. Raises `Wrong` for anything else."""
    case = locked(session, number)
    digits = platform_number(platform_no)
    if digits is None:
        raise Wrong("全国12315平台登记编号应为25位数字，请核对。")
    before = terms_of(case.fields, case.platform_reg_no)
    was, case.platform_reg_no = case.platform_reg_no, digits
    index_case(session, case, before)
    detail = {"platform_reg_no": digits, "before": was}
    change(session, case, "platform", actor=actor, now=now, detail=detail, audited=detail)
    return case


def do_withdraw(session: Session, number: str, *, actor: str, now: datetime, reason: str) -> Case:
    """The citizen takes the matter back (撤诉). The case stays; what departments have is called back by the caller
    (`bot.cases.dispatch.do_withdraw`)."""
    case = locked(session, number)
    check(case, "withdraw")
    if not reason.strip():
        raise Wrong("请写明撤回的原因。")
    change(session, case, "withdraw", actor=actor, now=now, detail={"reason": reason})
    return case


def do_ask_follow_up(session: Session, number: str, *, actor: str, now: datetime) -> Case:
    """The answer was told to the citizen; a 回访 is due."""
    case = locked(session, number)
    change(session, case, "ask_follow_up", actor=actor, now=now)
    return case


def do_archive(
    session: Session, number: str, *, actor: str, now: datetime, reason: str | None = None
) -> Case:
    """Close a case. Without a 回访 (总局令第121号 asks for it) only with a reason: nobody to call, or not wanted."""
    case = locked(session, number)
    check(case, "archive")
    if case.stage != Stage.FOLLOWED_UP.value and not (reason or "").strip():
        raise Wrong("还没有回访，直接归档请写明原因。")
    change(session, case, "archive", actor=actor, now=now, detail={"reason": reason})
    return case


def do_reopen(session: Session, number: str, *, actor: str, now: datetime, reason: str) -> Case:
    """Take an answered, closed, merged or withdrawn case up again; it waits for dispatch."""
    case = locked(session, number)
    check(case, "reopen")
    if not reason.strip():
        raise Wrong("请写明重新办理的原因。")
    detail = {"reason": reason, "was_duplicate_of": case.duplicate_of}
    case.duplicate_of = None
    change(session, case, "reopen", actor=actor, now=now, detail=detail)
    return case


# -- corrections ------------------------------------------------------------------------------------

_TYPE_NAMES = {"T": "complaint", "J": "report", "S": "request", "Y": "suggestion"}


def fields_for(case: Case) -> list[str]:
    """The fields that a case of this type may hold, in the order in which they are read."""
    name = _TYPE_NAMES[case.type]
    found = [field for field in (*fields_of(name), *told_of(name), "address") if field != "anonymous"]
    return [
        field for field in dict.fromkeys(found) if not (case.anonymous and field in (*CONTACT, "company"))
    ]


def masked(field: str, value: str) -> str:
    """A value as it may stand in a list or an event: 韩*, 139****1187, 长春市朝阳区***."""
    if not value:
        return ""
    if field == "phone":
        return mask_phone(value)
    if field == "name":
        return f"{value[0]}*"
    if field == "address":
        return f"{value[:6]}***"
    return mask_text(value)


def do_correct(
    session: Session,
    number: str,
    changes: Mapping[str, str],
    *,
    actor: str,
    now: datetime,
    reason: str,
) -> Case:
    """Correct what was written down (个人信息保护法 Art 46); an empty value removes a field that may be missing.

    A new phone number is the one the citizen asks with from now on. Raises `Wrong` for an unknown field, contact data
    on an anonymous case, a phone that is none, or a named case without one. The event keeps masked values only.
    """
    case = locked(session, number)
    check(case, "correct")
    if not reason.strip():
        raise Wrong("请写明更正的原因。")
    allowed, fields = fields_for(case), dict(case.fields)
    for field, value in changes.items():
        if field not in allowed:
            raise Wrong(f"这类工单没有可更正的“{field}”。")
        value = store.scrubbed(value.strip())
        if field == "phone":
            checked = check_phone(value)
            if not checked.value:
                raise Wrong(checked.problem or "请填写能联系到的电话号码。")
            value = checked.value
        if value:
            fields[field] = value
        else:
            if field == "facts":
                raise Wrong("事情经过不能为空。")
            fields.pop(field, None)
    changed = [field for field in changes if fields.get(field) != case.fields.get(field)]
    if not changed:
        raise Wrong("没有需要更正的内容。")
    before = terms_of(case.fields, case.platform_reg_no)
    was = {field: masked(field, str(case.fields.get(field) or "")) for field in changed}
    case.fields = fields
    if "phone" in changed:
        case.phone_hash = data_key().phone_hash(str(fields["phone"]))
    index_case(session, case, before)
    detail = {
        "before": was,
        "after": {f: masked(f, str(fields.get(f) or "")) for f in changed},
        "reason": reason,
    }
    change(session, case, "correct", actor=actor, now=now, detail=detail, audited={"fields": changed})
    return case


def history(session: Session, number: str) -> list[CaseEvent]:
    """All events of a case, oldest first."""
    query = select(CaseEvent).where(CaseEvent.case_number == number).order_by(CaseEvent.id)
    return list(session.scalars(query))
