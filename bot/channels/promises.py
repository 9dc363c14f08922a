"""What the promises of ARCHITECTURE.md look like right now, as Prometheus gauges read from the database.

Every process that is scraped gives the same figures, whoever did the work; an alert rests on what is stored, not on
a counter that a restart forgets. The queries are bounded by partial indexes and cached for a few seconds, so that
scraping often costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bot.cases.calendar import local_date
from bot.cases.models import Case, CaseClock
from bot.conversations import log
from bot.conversations.models import CallBack, Conversation, HandOver, Message
from bot.desk.models import Review
from bot.operations import records
from bot.outbox.models import Delivery
from bot.storage import StorageError

CACHED = 5.0  # seconds
WAITING = ("pending", "leased")

GAUGES = {
    "hotline_database_up": "1 when the database answers; without it there are no other figures",
    "hotline_unanswered_messages": "Citizens' messages stored and not answered by a finished turn",
    "hotline_unanswered_oldest_seconds": "Age of the oldest of them (promises 1 and 3)",
    "hotline_outbox_waiting": "Deliveries that wait to be sent, by kind",
    "hotline_outbox_oldest_seconds": "Age of the oldest delivery that is due, by kind",
    "hotline_outbox_dead": "Deliveries given up (dead letters), by kind",
    "hotline_hand_overs_waiting": "Citizens who wait for a person, by urgency",
    "hotline_hand_over_oldest_seconds": "Longest wait for a person, by urgency (promise 9)",
    "hotline_call_backs_overdue": "Promised call-backs (回电) whose time has passed",
    "hotline_clocks_missed": "Statutory clocks (时限) of open cases past their day and not met",
    "hotline_clocks_due": "Statutory clocks of open cases due today",
    "hotline_owned_conversations": "Conversations that a person owns",
    "hotline_owner_silent_seconds": "Longest silence of an owner whose citizen wrote since (promise 5)",
    "hotline_reviews_open": "Missed messages that wait to be labelled",
    "hotline_backup_age_seconds": "Time since the last back-up of this home; absent when there was none",
    "hotline_audit_verified_age_seconds": "Time since the audit chain was last verified; absent when never",
    "hotline_audit_chain_holds": "1 when it held then, 0 when an entry was changed or is missing",
}
"""Name and help of every figure; docs/copilot.md lists the same."""

_LABELS = {
    "hotline_outbox_waiting": ["kind"],
    "hotline_outbox_oldest_seconds": ["kind"],
    "hotline_outbox_dead": ["kind"],
    "hotline_hand_overs_waiting": ["urgent"],
    "hotline_hand_over_oldest_seconds": ["urgent"],
}

Figure = tuple[str, tuple[str, ...], float]


class Promises(Collector):
    """Reads the figures when it is scraped."""

    def __init__(
        self,
        readers: sessionmaker[Session],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        home: Path | None = None,
    ) -> None:
        self._readers, self._now, self._monotonic = readers, now, monotonic
        self._home = home
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._known: list[Figure] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The families without figures: registering must not ask the database."""
        return [GaugeMetricFamily(name, text, labels=_LABELS.get(name, [])) for name, text in GAUGES.items()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The figures, at most `CACHED` seconds old; only `hotline_database_up` 0 when the database is down."""
        with self._lock:
            if self._monotonic() - self._read_at >= CACHED:
                self._known = self._read()
                self._read_at = self._monotonic()
            known = self._known
        families = {family.name: family for family in self.describe()}
        for name, labels, value in known:
            families[name].add_metric(list(labels), value)
        return [family for family in families.values() if family.samples]

    def _read(self) -> list[Figure]:
        noted = _noted(self._home, self._now()) if self._home else []
        try:
            with self._readers() as session:
                return [("hotline_database_up", (), 1.0), *read(session, self._now()), *noted]
        except (StorageError, SQLAlchemyError):
            return [("hotline_database_up", (), 0.0), *noted]


def _noted(home: Path, now: datetime) -> list[Figure]:
    """What operations left in the home: it is told also while the database is down."""
    found: list[Figure] = []
    if backup := records.last(home, records.BACKUP):
        found.append(("hotline_backup_age_seconds", (), _age(backup["at"], now)))
    if verified := records.last(home, records.AUDIT):
        found.append(("hotline_audit_verified_age_seconds", (), _age(verified["at"], now)))
        found.append(("hotline_audit_chain_holds", (), 0.0 if verified.get("broken") else 1.0))
    return found


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def read(session: Session, now: datetime) -> list[Figure]:
    """All figures but `hotline_database_up`."""
    return [
        *_messages(session, now),
        *_outbox(session, now),
        *_hand_overs(session, now),
        *_clocks(session, now),
        *_owners(session, now),
        ("hotline_reviews_open", (), _count(session, Review.id, Review.state == "open")),
    ]


def _count(session: Session, column: object, *where: object) -> float:
    return float(session.scalar(select(func.count(column)).where(*where)) or 0)  # type: ignore[arg-type]


def _messages(session: Session, now: datetime) -> list[Figure]:
    number, oldest = session.execute(
        select(func.count(), func.min(Message.created_at)).where(log.WAITS)
    ).one()
    return [
        ("hotline_unanswered_messages", (), float(number)),
        ("hotline_unanswered_oldest_seconds", (), _age(oldest, now)),
    ]


def _outbox(session: Session, now: datetime) -> list[Figure]:
    found: list[Figure] = []
    rows = session.execute(
        select(Delivery.kind, func.count()).where(Delivery.state.in_(WAITING)).group_by(Delivery.kind)
    )
    found += [("hotline_outbox_waiting", (kind,), float(number)) for kind, number in rows]
    due = session.execute(
        select(Delivery.kind, func.min(Delivery.created_at))
        .where(Delivery.state.in_(WAITING), Delivery.next_at <= now)
        .group_by(Delivery.kind)
    )
    found += [("hotline_outbox_oldest_seconds", (kind,), _age(oldest, now)) for kind, oldest in due]
    dead = session.execute(
        select(Delivery.kind, func.count()).where(Delivery.state == "dead").group_by(Delivery.kind)
    )
    return found + [("hotline_outbox_dead", (kind,), float(number)) for kind, number in dead]


def _hand_overs(session: Session, now: datetime) -> list[Figure]:
    found: list[Figure] = []
    for urgent in (True, False):
        number, oldest = session.execute(
            select(func.count(), func.min(HandOver.created_at)).where(
                HandOver.state == "waiting", HandOver.urgent.is_(urgent)
            )
        ).one()
        label = ("yes" if urgent else "no",)
        found.append(("hotline_hand_overs_waiting", label, float(number)))
        found.append(("hotline_hand_over_oldest_seconds", label, _age(oldest, now)))
    overdue = _count(session, CallBack.id, CallBack.state == "open", CallBack.due_at < now)
    return [*found, ("hotline_call_backs_overdue", (), overdue)]


def _clocks(session: Session, now: datetime) -> list[Figure]:
    today = local_date(now)

    def running(*where: object) -> float:
        query = (
            select(func.count())
            .select_from(CaseClock)
            .join(Case, Case.number == CaseClock.case_number)
            .where(CaseClock.met_on.is_(None), Case.closed_at.is_(None), *where)  # type: ignore[arg-type]
        )
        return float(session.scalar(query) or 0)

    return [
        ("hotline_clocks_missed", (), running(CaseClock.due_on < today)),
        ("hotline_clocks_due", (), running(CaseClock.due_on == today)),
    ]


def _owners(session: Session, now: datetime) -> list[Figure]:
    # `owner_id` has an index, `owner` has none.
    owned = (
        Conversation.owner_id.is_not(None),
        Conversation.owner == "person",
        Conversation.closed_at.is_(None),
    )
    # Every message moves `updated_at`: who was active later than that has nothing to answer.
    silent = session.scalar(
        select(func.min(Conversation.owner_active_at)).where(
            *owned, Conversation.owner_active_at < Conversation.updated_at
        )
    )
    return [
        ("hotline_owned_conversations", (), _count(session, Conversation.id, *owned)),
        ("hotline_owner_silent_seconds", (), _age(silent, now)),
    ]


def registry_of(
    readers: sessionmaker[Session], now: Callable[[], datetime], home: Path | None = None
) -> CollectorRegistry:
    """A registry with these figures alone: an application's own, not the process's."""
    registry = CollectorRegistry()
    registry.register(Promises(readers, now, home=home))
    return registry
