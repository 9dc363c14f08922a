"""Cases that belong together: duplicates (并单) and twins (投诉 + 举报 of one matter). Nothing is ever deleted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.dispatch import call_back
from bot.cases.models import Case
from bot.cases.workflow import Wrong, change, check, locked


def duplicates(session: Session, number: str) -> list[Case]:
    """Cases that were merged into this one, oldest first."""
    query = select(Case).where(Case.duplicate_of == number).order_by(Case.sms_code)
    return list(session.scalars(query))


def _both(session: Session, one: str, other: str) -> tuple[Case, Case]:
    if one == other:
        raise Wrong("不能和自己并单或关联。")
    # Always in the same order: two colleagues who merge the same pair do not wait for each other.
    found = {number: locked(session, number) for number in sorted((one, other))}
    return found[one], found[other]


def do_merge(
    session: Session, number: str, into: str, *, actor: str, now: datetime, reason: str = ""
) -> Case:
    """Merge case `number` into case `into` (并案处理, 总局令第121号: duplicates of a 举报 are not handled twice).

    The merged case stays readable under its number, closed; departments that had it are told. Both must be of one
    type and open, `into` no duplicate itself; what was merged into `number` follows. Raises `Wrong` or `NotNow`.
    """
    case, kept = _both(session, number, into)
    check(case, "merge")
    check(kept, "merge")
    if case.type != kept.type:
        raise Wrong("不同类型的工单不能并单；投诉和举报请用“关联”。")
    for earlier in duplicates(session, number):
        earlier.duplicate_of = into
    case.duplicate_of = into
    call_back(session, case, "recall", now)
    change(
        session,
        case,
        "merge",
        actor=actor,
        now=now,
        detail={"into": into, "reason": reason},
        audited={"into": into},
    )
    change(
        session,
        kept,
        "merged_in",
        actor=actor,
        now=now,
        detail={"merged": number},
        audited={"merged": number},
    )
    return case


def do_link(session: Session, number: str, other: str, *, actor: str, now: datetime) -> tuple[Case, Case]:
    """Make a 投诉 and a 举报 of the same matter twins (总局令第121号 Art 9: handled apart). Raises `Wrong`."""
    case, twin = _both(session, number, other)
    check(case, "link")
    check(twin, "link")
    if {case.type, twin.type} != {"T", "J"}:
        raise Wrong("只有一件投诉和一件举报可以关联。")
    if case.twin_number or twin.twin_number:
        raise Wrong("其中一件已经关联了别的工单。")
    case.twin_number, twin.twin_number = twin.number, case.number
    for one, with_ in ((case, twin), (twin, case)):
        detail = {"twin": with_.number}
        change(session, one, "link", actor=actor, now=now, detail=detail, audited=detail)
    return case, twin
