"""How long personal data is kept (保存期限): preview, run, erasure on request, export of one person's data.

Periods are settings (docs/settings.md). 个人信息保护法 Art 19 asks for the shortest time that serves the purpose,
Art 45 for a copy on request, Art 47 for deletion; 网络安全法 for logs of at least six months. What was erased stands in
the audit log by case number and count, without anybody's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import Session, sessionmaker

from bot import audit
from bot.cases.models import Case, CaseClock, CaseDraft, CaseEvent, CaseType
from bot.conversations.addresses import address_hash
from bot.conversations.models import Address, CallBack, Conversation, HandOver, Message, Rating
from bot.crypto import data_key
from bot.desk.erasure import ERASED, erase_cases, erase_conversation, erase_draft
from bot.errors import HotlineError, Problem
from bot.outbox import queue
from bot.outbox.models import Delivery
from bot.settings import Settings, settings
from bot.staff.models import StaffSession

BATCH = 100  # cases or conversations a transaction: nobody waits long for the write lock
SIX_MONTHS = timedelta(days=184)


@dataclass
class Plan:
    """What is, would be or was erased. `kept` are open cases that an erasure on request left alone."""

    cases: int = 0
    conversations: int = 0
    drafts: int = 0
    deliveries: int = 0
    audit_entries: int = 0
    log_ins: int = 0
    kept: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Periods:
    """The moments before which data is over its time."""

    cases: datetime
    conversations: datetime
    drafts: datetime
    audit: datetime

    @classmethod
    def at(cls, now: datetime, config: Settings) -> Periods:
        """The moments for the settings; the audit log's is never nearer than six months."""
        return cls(
            now - timedelta(days=config.retention_case_days),
            now - timedelta(days=config.retention_conversation_days),
            now - timedelta(days=config.retention_draft_days),
            now - max(timedelta(days=config.retention_audit_days), SIX_MONTHS),
        )


def preview(session: Session, *, now: datetime) -> Plan:
    """What a run would erase now."""
    over = Periods.at(now, settings())

    def count(query: Select[Any]) -> int:
        return session.scalar(select(func.count()).select_from(query.subquery())) or 0

    return Plan(
        cases=count(_cases(over)),
        conversations=count(_conversations(over)),
        drafts=count(_drafts(over)),
        deliveries=count(
            select(Delivery.id).where(
                Delivery.state.in_(("sent", "delivered", "cancelled")),
                Delivery.created_at < over.conversations,
            )
        ),
        audit_entries=count(select(audit.AuditEntry.id).where(audit.AuditEntry.at < over.audit)),
        log_ins=count(_log_ins(now)),
    )


def run(sessions: sessionmaker[Session], *, now: datetime, actor: str) -> Plan:
    """Erase what is over its time, in transactions of `BATCH` each; an interrupted run goes on where it was."""
    config, over, plan = settings(), Periods.at(now, settings()), Plan()

    def cases(session: Session) -> tuple[int, list[Path]]:
        found = session.scalars(_cases(over).with_for_update(skip_locked=True).limit(BATCH)).all()
        files = erase_cases(session, list(found), now=now, config=config)
        _record(session, actor, "cases", [case.number for case in found], now)
        return len(found), files

    def conversations(session: Session) -> tuple[int, list[Path]]:
        found = session.scalars(_conversations(over).with_for_update(skip_locked=True).limit(BATCH)).all()
        files = [f for c in found for f in erase_conversation(session, c, now=now, config=config)]
        _record(session, actor, "conversations", found, now)
        return len(found), files

    def drafts(session: Session) -> tuple[int, list[Path]]:
        found = session.scalars(_drafts(over).with_for_update(skip_locked=True).limit(BATCH)).all()
        for draft in found:
            erase_draft(draft, now=now)
        _record(session, actor, "drafts", found, now)
        return len(found), []

    plan.cases = _until_done(sessions, cases)
    plan.conversations = _until_done(sessions, conversations)
    plan.drafts = _until_done(sessions, drafts)
    with sessions.begin() as session:
        plan.deliveries = queue.forget(session, over.conversations)
        plan.log_ins = len(
            session.execute(
                delete(StaffSession).where(_log_ins(now).whereclause).returning(StaffSession.token_hash)  # type: ignore[arg-type]
            ).all()
        )
        plan.audit_entries = audit.prune(session, over.audit, actor=actor, now=now)
        audit.record(session, actor, "retention.run", "retention", plan.as_json(), now=now)
    return plan


def erase_person(
    sessions: sessionmaker[Session], phone: str, *, reason: str, actor: str, now: datetime
) -> Plan:
    """Erase one person's closed cases and their conversations before the time; raises MALFORMED, REASON_NEEDED.

    Open cases and their conversations stay, and are named: the duty to handle them is not done (Art 13(三)).
    """
    if not reason.strip():
        raise HotlineError(Problem.REASON_NEEDED)
    config, hashed, plan = settings(), _phone_hash(phone), Plan()
    with sessions.begin() as session:
        mine = session.scalars(select(Case).where(Case.phone_hash == hashed).with_for_update()).all()
        plan.kept = sorted(case.number for case in mine if case.closed_at is None)
        closed = [case for case in mine if case.closed_at is not None]
        ids = _conversations_of(session, hashed, mine) | _with_call_backs(session, phone)
        busy = {case.conversation_id for case in mine if case.closed_at is None}
        files = erase_cases(session, closed, now=now, config=config)
        for conversation in session.scalars(
            select(Conversation).where(Conversation.id.in_(ids - busy), _quiet())
        ):
            files += erase_conversation(session, conversation, now=now, config=config)
            plan.conversations += 1
        plan.cases = len(closed)
        detail = plan.as_json() | {"reason": reason.strip(), "numbers": [case.number for case in closed]}
        audit.record(session, actor, "retention.erase", f"person:{hashed[:16]}", detail, now=now)
    _remove(files)
    return plan


def export_person(session: Session, phone: str, *, actor: str, now: datetime) -> dict[str, Any]:
    """Everything stored about the person of a phone number, as JSON (Art 45); audited. Raises MALFORMED.

    Their own words and data: no colleague's opinion, nothing about the other side that they did not say.
    """
    hashed = _phone_hash(phone)
    cases = session.scalars(select(Case).where(Case.phone_hash == hashed).order_by(Case.created_at)).all()
    ids = _conversations_of(session, hashed, cases) | _with_call_backs(session, phone)
    conversations = session.scalars(
        select(Conversation).where(Conversation.id.in_(ids)).order_by(Conversation.created_at)
    ).all()
    found = {
        "made_at": _iso(now),
        "cases": [_case_json(session, case) for case in cases],
        "conversations": [_conversation_json(session, one) for one in conversations],
        "addresses": [
            {"channel": a.channel, "address": a.address, "opted_out_at": _iso(a.opted_out_at)}
            for a in session.scalars(select(Address).where(Address.conversation_id.in_(ids)))
        ],
        "call_backs": [
            {"phone": c.phone, "state": c.state, "asked_at": _iso(c.created_at), "due_at": _iso(c.due_at)}
            for c in session.scalars(select(CallBack).where(CallBack.conversation_id.in_(ids)))
        ],
    }
    counts = {"cases": [case.number for case in cases], "conversations": len(conversations)}
    audit.record(session, actor, "retention.export", f"person:{hashed[:16]}", counts, now=now)
    return found


def _cases(over: Periods) -> Select[Case]:
    return select(Case).where(Case.closed_at <= over.cases, Case.erased_at.is_(None))


def _conversations(over: Periods) -> Select[Conversation]:
    return select(Conversation).where(Conversation.updated_at <= over.conversations, _quiet())


def _quiet() -> Any:
    """Not erased yet, with nobody, awaiting nobody, and without an open case."""
    own = Conversation.id
    return (
        (Conversation.token_hash != ERASED)
        & (Conversation.owner == "bot")
        & ~exists().where(HandOver.conversation_id == own, HandOver.state == "waiting")
        & ~exists().where(CallBack.conversation_id == own, CallBack.state == "open")
        & ~exists().where(Case.conversation_id == own, Case.closed_at.is_(None))
    )


def _drafts(over: Periods) -> Select[CaseDraft]:
    return select(CaseDraft).where(CaseDraft.state == "open", CaseDraft.updated_at <= over.drafts)


def _log_ins(now: datetime) -> Select[Any]:
    return select(StaffSession.token_hash).where(StaffSession.expires_at <= now - SIX_MONTHS)


def _until_done(sessions: sessionmaker[Session], work: Callable[[Session], tuple[int, list[Path]]]) -> int:
    total = 0
    while True:
        with sessions.begin() as session:
            count, files = work(session)
        # Only now is it certain that nothing points to them any more.
        _remove(files)
        total += count
        if count == 0:
            return total


def _record(session: Session, actor: str, what: str, found: Sequence[Any], now: datetime) -> None:
    if found:
        detail: dict[str, Any] = {"count": len(found)}
        if what == "cases":
            detail["numbers"] = list(found)
        audit.record(session, actor, f"retention.{what}", "retention", detail, now=now)


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _phone_hash(phone: str) -> str:
    try:
        return data_key().phone_hash(phone)
    except ValueError:
        raise HotlineError(Problem.MALFORMED) from None


def _conversations_of(session: Session, hashed: str, cases: Sequence[Case]) -> set[str]:
    ids = {case.conversation_id for case in cases}
    # Conversations by SMS carry the number's hash, the older ones too.
    ids |= set(session.scalars(select(Conversation.id).where(Conversation.token_hash == hashed)))
    return ids | set(
        session.scalars(
            select(Address.conversation_id).where(Address.channel == "sms", Address.address_hash == hashed)
        )
    )


def _with_call_backs(session: Session, phone: str) -> set[str]:
    """Conversations where a call to this number was promised. The numbers lie sealed: all are looked at."""
    wanted = address_hash("sms", phone)
    found = set()
    rows = session.execute(select(CallBack.conversation_id, CallBack.phone).execution_options(yield_per=500))
    for conversation_id, called in rows:
        try:
            if data_key().phone_hash(called) == wanted:
                found.add(conversation_id)
        except ValueError:
            continue  # Erased already.
    return found


def _case_json(session: Session, case: Case) -> dict[str, Any]:
    events = session.scalars(
        select(CaseEvent).where(CaseEvent.case_number == case.number).order_by(CaseEvent.id)
    )
    clocks = session.scalars(select(CaseClock).where(CaseClock.case_number == case.number))
    return {
        "number": case.number,
        "type": CaseType(case.type).label,
        "status": case.status,
        "department": case.department,
        "channel": case.channel,
        "registered_at": _iso(case.created_at),
        "closed_at": _iso(case.closed_at),
        "erased_at": _iso(case.erased_at),
        "fields": case.fields,
        "history": [{"at": _iso(e.at), "what": e.kind, "status": e.status} for e in events],
        "time_limits": [
            {"name": c.name, "due_on": c.due_on.isoformat(), "met_on": c.met_on and c.met_on.isoformat()}
            for c in clocks
            if c.showable
        ],
    }


def _conversation_json(session: Session, conversation: Conversation) -> dict[str, Any]:
    messages = session.scalars(
        select(Message).where(Message.conversation_id == conversation.id).order_by(Message.seq)
    )
    rating = session.get(Rating, conversation.id)
    return {
        "id": conversation.id,
        "channel": conversation.channel,
        "begun_at": _iso(conversation.created_at),
        "messages": [{"author": m.author, "at": _iso(m.created_at), "text": m.body} for m in messages],
        "rating": {"score": rating.score, "comment": rating.comment} if rating else None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
