"""The queue of deliveries: put in with what it belongs to, leased to one worker, retried, or dead.

Functions over a `Session`; they flush, the caller commits. At least once: whoever is killed between sending and
`sent` leaves a lease that expires, and the delivery goes out again under the same `delivery_id`, by which the
receiver tells it from a new one.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from bot import request_ids
from bot.crypto import Tampered, mask_text
from bot.outbox.models import Delivery

ATTEMPTS = 9
"""After so many tries a delivery is dead: with the waits below, some five hours after the first."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=2)
CLOCK_SLACK = timedelta(minutes=1)  # by which the clocks of several machines may differ
JITTER = 0.2  # of the wait, to either side: a receiver that comes back is not met by all of them at once
_jitter = random.Random()


def enqueue(
    session: Session,
    *,
    kind: str,
    lane: str,
    dedupe_key: str,
    target: dict[str, Any],
    payload: dict[str, Any],
    now: datetime,
    not_before: datetime | None = None,
    conversation_id: str | None = None,
    case_number: str | None = None,
) -> Delivery:
    """Queue one delivery for the adapter of `kind`; the same `dedupe_key` again returns the first one unchanged.

    What shares a `lane` goes out in the order it was queued; `not_before` keeps one back without holding up those
    behind it.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.flush()
    session.execute(
        insert(Delivery)
        .values(
            delivery_id=str(uuid.uuid4()),
            kind=kind,
            lane=lane,
            dedupe_key=dedupe_key,
            target=target,
            payload=payload,
            conversation_id=conversation_id,
            case_number=case_number,
            request_id=request_ids.current(),
            created_at=now,
            next_at=max(now, not_before) if not_before else now,
        )
        .on_conflict_do_nothing(index_elements=["dedupe_key"])
    )
    return session.scalars(select(Delivery).where(Delivery.dedupe_key == dedupe_key)).one()


def _due(now: datetime, kinds: Collection[str] | None) -> ColumnElement[bool]:
    waiting = and_(Delivery.state == "pending", Delivery.next_at <= now)
    abandoned = and_(Delivery.state == "leased", Delivery.leased_until <= now)
    due = or_(waiting, abandoned)
    return due if kinds is None else and_(due, Delivery.kind.in_(kinds))


def _first_of_lane(now: datetime) -> ColumnElement[bool]:
    # One that was tried and waits for its next turn still holds up its lane; one that is kept back does not.
    earlier = aliased(Delivery)
    in_front = or_(
        earlier.state == "leased",
        and_(earlier.state == "pending", or_(earlier.attempts > 0, earlier.next_at <= now)),
    )
    return ~exists().where(earlier.lane == Delivery.lane, earlier.id < Delivery.id, in_front)


def _of_the_future(now: datetime) -> ColumnElement[bool]:
    # Queued while the clock was ahead; what is kept back for a time of day (quiet hours) stays with that time.
    at_once = or_(Delivery.next_at == Delivery.created_at, Delivery.attempts > 0)
    return and_(Delivery.state == "pending", Delivery.created_at > now + CLOCK_SLACK, at_once)


def is_due(session: Session, now: datetime, kinds: Collection[str] | None = None) -> bool:
    """Whether `lease` would find something: a read that takes no lock."""
    due = or_(_due(now, kinds), _of_the_future(now))
    return session.scalar(select(Delivery.id).where(due).limit(1)) is not None


def lease(
    session: Session,
    worker: str,
    now: datetime,
    limit: int = 20,
    seconds: float = 60,
    kinds: Collection[str] | None = None,
) -> list[Delivery]:
    """Up to `limit` due deliveries, now `worker`'s for `seconds`: at most one of each lane, oldest first.

    `kinds` are those the worker has adapters for (default: all). A lease that expired is taken over; a delivery
    that was tried `ATTEMPTS` times and never reported back is dead: it may be what kills its worker.
    """
    abandoned = Delivery.state == "leased", Delivery.leased_until <= now, Delivery.attempts >= ATTEMPTS
    session.execute(
        update(Delivery)
        .where(*abandoned)
        .values(state="dead", last_error="lease expired at the last attempt", leased_by=None)
        .execution_options(synchronize_session=False)
    )
    # A clock that was set back must not keep an answer for hours.
    session.execute(
        update(Delivery)
        .where(_of_the_future(now))
        .values(created_at=now, next_at=now)
        .execution_options(synchronize_session=False)
    )
    query = (
        select(Delivery.id)
        .where(_due(now, kinds), _first_of_lane(now))
        .order_by(Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    chosen = session.scalars(query).all()
    if not chosen:
        return []
    # The condition stands again in the UPDATE: it alone decides a race.
    taken = session.scalars(
        update(Delivery)
        .where(Delivery.id.in_(chosen), _due(now, kinds))
        .values(
            state="leased",
            leased_by=worker,
            leased_until=now + timedelta(seconds=seconds),
            attempts=Delivery.attempts + 1,
        )
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    ).all()
    return [delivery for id in sorted(taken) if (delivery := _opened(session, id))]


def _opened(session: Session, id: int) -> Delivery | None:
    try:
        return session.get(Delivery, id, populate_existing=True)
    except Tampered:
        # One row that does not open must not stop all the others for ever.
        session.execute(
            update(Delivery)
            .where(Delivery.id == id)
            .values(state="dead", last_error="cannot be opened: changed or sealed with another key")
            .execution_options(synchronize_session=False)
        )
        return None


def _locked(session: Session, id: int) -> Delivery | None:
    return session.get(Delivery, id, with_for_update=True, populate_existing=True)


def sent(session: Session, id: int, external_id: str | None, now: datetime) -> bool:
    """The receiver took it; `external_id` is its number there, for reports. False if it is not in flight any more.

    A report that came first (`delivered`, or dead) stays as it is.
    """
    delivery = _locked(session, id)
    if delivery is None or delivery.state in ("cancelled", "sent"):
        return False
    delivery.external_id = external_id[:128] if external_id else delivery.external_id
    delivery.sent_at = delivery.sent_at or now
    if delivery.state in ("pending", "leased"):
        delivery.state, delivery.last_error = "sent", None
    delivery.leased_by = delivery.leased_until = None
    session.flush()
    return True


def wait_after(attempts: int) -> timedelta:
    """How long to wait after the n-th failure: 10 s, 30 s, 90 s … two hours, each give or take a fifth."""
    wait = min(FIRST_WAIT * 3 ** max(attempts - 1, 0), LONGEST_WAIT)
    return wait * (1 + _jitter.uniform(-JITTER, JITTER))


def failed(
    session: Session,
    id: int,
    error: str,
    now: datetime,
    *,
    retry_after: float | timedelta | None = None,
    final: bool = False,
    worker: str | None = None,
) -> bool:
    """It was not taken: again later, or dead if `final` or tried `ATTEMPTS` times.

    `retry_after` (seconds) is the receiver's own word; the wait is never shorter. With `worker` only its own lease
    is ended. Phone, ID and card numbers in `error` are masked. False if it was not in flight.
    """
    delivery = _locked(session, id)
    if delivery is None or delivery.state != "leased" or (worker and delivery.leased_by != worker):
        return False
    delivery.last_error = mask_text(error)[:255]
    delivery.leased_by = delivery.leased_until = None
    if final or delivery.attempts >= ATTEMPTS:
        delivery.state = "dead"
    else:
        if retry_after is not None and not isinstance(retry_after, timedelta):
            retry_after = timedelta(seconds=retry_after)
        delivery.state = "pending"
        delivery.next_at = now + max(wait_after(delivery.attempts), retry_after or timedelta())
    session.flush()
    return True


def report(session: Session, kind: str, external_id: str, ok: bool, now: datetime) -> Delivery | None:
    """A delivery report (回执) of the receiver, by its own number or by our `delivery_id`; `None` for an unknown one.

    Reports may come twice, out of order, and before `sent`: delivered wins over everything, a failure only over
    what is not delivered.
    """
    same = or_(Delivery.external_id == external_id, Delivery.delivery_id == external_id)
    query = select(Delivery).where(Delivery.kind == kind, same).order_by(Delivery.id.desc()).limit(1)
    delivery = session.scalar(query.with_for_update())
    if delivery is None or delivery.state in ("delivered", "cancelled"):
        return delivery
    if ok:
        delivery.state, delivery.delivered_at, delivery.last_error = "delivered", now, None
        delivery.sent_at = delivery.sent_at or now
    else:
        delivery.state, delivery.last_error = "dead", "reported as not delivered"
    delivery.leased_by = delivery.leased_until = None
    session.flush()
    return delivery


def cancel(session: Session, id: int) -> bool:
    """Take back what nobody has tried to send yet; False if it is too late."""
    delivery = _locked(session, id)
    if delivery is None or delivery.state != "pending" or delivery.attempts:
        return False
    delivery.state = "cancelled"
    session.flush()
    return True


def dead_letters(session: Session, limit: int = 100, before: int | None = None) -> Sequence[Delivery]:
    """Dead deliveries, newest first; `before` an id for the next page."""
    query = select(Delivery).where(Delivery.state == "dead")
    if before is not None:
        query = query.where(Delivery.id < before)
    return session.scalars(query.order_by(Delivery.id.desc()).limit(limit)).all()


def revive(session: Session, id: int, now: datetime) -> bool:
    """Let a dead delivery be tried again at once, with all its attempts and under its own delivery id."""
    delivery = _locked(session, id)
    if delivery is None or delivery.state != "dead":
        return False
    delivery.state, delivery.attempts, delivery.next_at = "pending", 0, now
    session.flush()
    return True


def counts(session: Session) -> dict[str, int]:
    """How many deliveries stand in each of `pending`, `leased`, `dead`."""
    query = select(Delivery.state, func.count()).where(Delivery.state.in_(("pending", "leased", "dead")))
    found = {state: count for state, count in session.execute(query.group_by(Delivery.state))}
    return {state: found.get(state, 0) for state in ("pending", "leased", "dead")}


def forget(session: Session, before: datetime) -> int:
    """Delete what was sent or cancelled and queued before `before` (个人信息保护法 Art 19). Returns how many."""
    done = Delivery.state.in_(("sent", "delivered", "cancelled"))
    gone = session.execute(delete(Delivery).where(done, Delivery.created_at < before).returning(Delivery.id))
    return len(gone.all())
