"""The case store: from a confirmed draft to a numbered case, its events and its clocks.

Functions over a `Session`. They flush, the caller commits: a number may be shown only after the commit.
Drafts and look-ups are re-exported, so that callers import one module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.cases import clocks, receipts, routing, terms
from bot.cases.calendar import local_date
from bot.cases.drafts import (
    CaseError,
    DraftClosed,
    cancel_draft,
    current_draft,
    lock_draft,
    open_draft,
    save_draft,
    scrubbed,
)
from bot.cases.lookup import CaseStatusText, case_status_text, find_case, query_code_hash
from bot.cases.models import (
    REGISTERED,
    STATUSES,
    Case,
    CaseClock,
    CaseDraft,
    CaseEvent,
    CaseType,
    Dispatch,
)
from bot.cases.replies import is_hurt
from bot.crypto import data_key, normal_phone

__all__ = [
    "CaseError",
    "CaseStatusText",
    "DraftClosed",
    "InvalidPart",
    "Part",
    "add_event",
    "cancel_draft",
    "case_status_text",
    "current_draft",
    "find_case",
    "open_draft",
    "query_code_of",
    "refresh_due",
    "save_draft",
    "submit",
]

STATUS_LISTENERS: list[Callable[[Session, Case, datetime], object]] = []
"""Called with (session, case, now) in the transaction in which the status of a case changes, after its event. Cases
know no channel: whoever tells citizens adds itself here (`bot.conversations.notices.listen`)."""

CONTACT_FIELDS = ("name", "phone", "address")
"""Fields that tell who the citizen is; an anonymous case is stored without them."""


class InvalidPart(CaseError):
    """A part cannot become a case: no phone, or a type that cannot be anonymous."""


@dataclass(frozen=True)
class Part:
    """What one case is made from.

    `fields` is stored encrypted; `fields["phone"]` is what the citizen later asks with. `text` is what
    routing reads, by default all strings in `fields` but the contact. Only 举报 and 意见建议 may be
    anonymous: a 投诉 needs a true name (消费者权益保护法实施条例 Art 46), a 诉求 somebody to answer. `urgent` puts it in
    front of the queue; a case that tells of somebody hurt is urgent by itself.
    """

    type: CaseType
    fields: dict[str, Any] = field(repr=False)
    anonymous: bool = False
    confidential: bool = False
    text: str = field(default="", repr=False)
    urgent: bool = False


def submit(
    session: Session,
    draft: CaseDraft,
    *,
    parts: Sequence[Part],
    message_id: str,
    channel: str,
    now: datetime,
    actor: str = "citizen",
) -> list[Case]:
    """Turn a confirmed draft into its cases: number, clocks, routing, first event, twin links, all at once.

    One part, or two of different types (a message that holds 投诉 and 举报; 总局令第121号 Art 9) which become
    twins. `message_id` is the citizen's message that confirmed, `actor` who filed it: `staff:…` for a call
    taken at the desk. A draft that is submitted already gives the same cases again, also when two processes race. An
    anonymous case carries its six-digit `query_code`.

    Raises `DraftClosed` for a cancelled draft, `InvalidPart`, and `StorageError` when the database fails;
    the caller's rollback then leaves nothing behind, not even a skipped number.
    """
    draft = lock_draft(session, draft)
    if draft.state == "submitted":
        return _with_codes(list(session.scalars(_cases_of(draft))))
    if draft.state != "open":
        raise DraftClosed(f"Draft {draft.id} is {draft.state}.")
    _check(parts)
    cases = [
        _register(session, draft, index, part, message_id, channel, now, actor)
        for index, part in enumerate(parts)
    ]
    session.flush()
    if len(cases) == 2:
        cases[0].twin_number, cases[1].twin_number = cases[1].number, cases[0].number
    # The cases hold it all now; a second copy would outlive an anonymous informant's wish.
    draft.state, draft.data, draft.asked, draft.updated_at = "submitted", {}, None, now
    session.flush()
    return _with_codes(cases)


def _cases_of(draft: CaseDraft) -> Any:
    return select(Case).where(Case.draft_id == draft.id).order_by(Case.part)


def _check(parts: Sequence[Part]) -> None:
    if not 1 <= len(parts) <= 2 or len({part.type for part in parts}) != len(parts):
        raise InvalidPart("A draft becomes one case, or two of different types.")
    for part in parts:
        if part.anonymous:
            if part.type not in (CaseType.REPORT, CaseType.SUGGESTION):
                raise InvalidPart(f"A {part.type.label} cannot be anonymous.")
            continue
        try:
            normal_phone(str(part.fields.get("phone") or ""))
        except ValueError:
            raise InvalidPart(f"A {part.type.label} that is not anonymous needs a phone number.") from None


def _register(
    session: Session,
    draft: CaseDraft,
    index: int,
    part: Part,
    message_id: str,
    channel: str,
    now: datetime,
    actor: str,
) -> Case:
    fields = scrubbed(part.fields)
    facts = {key: value for key, value in fields.items() if key not in CONTACT_FIELDS}
    route = routing.propose(part.type, part.text or "\n".join(_strings(facts)))
    number, sms_code = receipts.issue(session, part.type, now)
    case = Case(
        number=number,
        sms_code=sms_code,
        type=part.type.value,
        status=REGISTERED,
        draft_id=draft.id,
        part=index,
        conversation_id=draft.conversation_id,
        channel=channel,
        confirmed_by_message=message_id,
        fields=facts if part.anonymous else fields,
        phone_hash=None if part.anonymous else data_key().phone_hash(str(fields["phone"])),
        query_code_hash=query_code_hash(number, _query_code(draft.id, index)) if part.anonymous else None,
        anonymous=part.anonymous,
        confidential=part.confidential,
        department=route.department,
        routing_reason=route.reason[:255],
        created_at=now,
        stage="waiting",
        urgent=part.urgent or _somebody_hurt(facts),
        updated_at=now,
    )
    session.add(case)
    session.flush()
    detail = {
        "message_id": message_id,
        "channel": channel,
        "department": route.department,
        "also": list(route.also),
        "caution": route.caution,
    }
    session.add(
        CaseEvent(
            case_number=number, at=now, actor=actor, kind="registered", status=REGISTERED, detail=detail
        )
    )
    started = _start(session, case, "receipt", now)
    # As `refresh_due` would, without asking the database: this is the transaction that citizens wait for.
    case.due_on = min((clock.due_on for clock in started), default=None)
    terms.index_case(session, case)
    return case


def _somebody_hurt(facts: dict[str, Any]) -> bool:
    told = str(facts.get("injury") or "")
    return told.startswith("有人受伤") or is_hurt(str(facts.get("facts") or ""))


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def query_code_of(case: Case) -> str | None:
    """The six-digit query code of an anonymous case, else `None`. For its receipt, and nothing else.

    Only a keyed hash of it is stored.
    """
    return _query_code(case.draft_id, case.part) if case.anonymous else None


def _query_code(draft_id: str, part: int) -> str:
    # Derived, not drawn: a submission repeated because the first reply was lost must give the same code. The
    # draft's id is random and known to no citizen.
    return f"{int(data_key().keyed_hash('query-code', f'{draft_id}:{part}'), 16) % 1_000_000:06d}"


def _with_codes(cases: list[Case]) -> list[Case]:
    for case in cases:
        case.query_code = query_code_of(case)
    return cases


def _start(session: Session, case: Case, event: clocks.Event, now: datetime) -> list[clocks.Clock]:
    running = set(session.scalars(select(CaseClock.key).where(CaseClock.case_number == case.number)))
    started = clocks.start_clocks(event, CaseType(case.type), local_date(now), real_name=not case.anonymous)
    started = [clock for clock in started if clock.key not in running]
    session.add_all(CaseClock(case_number=case.number, **asdict(clock)) for clock in started)
    return started


def add_event(
    session: Session,
    case: Case,
    kind: str,
    *,
    actor: str,
    now: datetime,
    status: str | None = None,
    detail: dict[str, Any] | None = None,
) -> CaseEvent:
    """Append an event; with `status` also change the case's status and meet or start its clocks.

    `actor` is `citizen`, `bot`, `system` or `staff:…`. Raises `CaseError` if the word does not belong to the
    type, or if anybody but staff sets one: only a competent office accepts, refuses or decides.
    """
    if status is not None:
        type = CaseType(case.type)
        if status not in STATUSES[type]:
            raise CaseError(f"{status!r} is no status of a {type.label}.")
        if not actor.startswith("staff:"):
            raise CaseError(f"{actor!r} may not set the status of a case.")
        locked = session.get(Case, case.number, with_for_update=True)
        if locked is None:
            raise CaseError(f"There is no case {case.number}.")
        before, locked.status = locked.status, status
        _meet(session, locked, status, now)
        if status in clocks.EVENT_OF_STATUS:
            _start(session, locked, clocks.EVENT_OF_STATUS[status], now)
        refresh_due(session, locked)
    event = CaseEvent(
        case_number=case.number, at=now, actor=actor, kind=kind, status=status, detail=scrubbed(detail)
    )
    session.add(event)
    session.flush()
    if status is not None and status != before:
        for tell in STATUS_LISTENERS:
            tell(session, case, now)
    return event


def refresh_due(session: Session, case: Case) -> None:
    """Set `case.due_on` to the earliest due date of its running clocks and of its open dispatch; none once it is
    closed."""
    session.flush()
    running = select(func.min(CaseClock.due_on)).where(
        CaseClock.case_number == case.number, CaseClock.met_on.is_(None)
    )
    asked = select(func.min(Dispatch.due_on)).where(
        Dispatch.case_number == case.number,
        Dispatch.part == "lead",
        Dispatch.state.in_(("sent", "accepted")),
    )
    days = [day for query in (running, asked) if (day := session.scalar(query))]
    case.due_on = min(days) if days and case.closed_at is None else None


def _meet(session: Session, case: Case, status: str, now: datetime) -> None:
    query = select(CaseClock).where(CaseClock.case_number == case.number, CaseClock.met_on.is_(None))
    met = clocks.met_by(status)
    for clock in session.scalars(query):
        if clock.key in met:
            clock.met_on = local_date(now)
