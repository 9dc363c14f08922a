"""Nobody rings in vain: an unanswered hand-over climbs the duty roster, a silent agent loses the conversation.

Both run every few seconds in every desk process. Each row is locked and looked at again before it is changed, so
that two processes at once, or one that starts anew, ring once. All time comes in as `now`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from bot.conversations import ownership
from bot.conversations.models import Conversation, HandOver, Message
from bot.desk.models import Page
from bot.errors import HotlineError, Problem
from bot.settings import settings
from bot.staff.models import Staff
from bot.staff.roster import POSTS, on_duty

TOP = len(POSTS) - 1
SILENT = "值班员较长时间没有回复"


@dataclass(frozen=True)
class Ringing:
    """A call (呼叫) that somebody should hear now; `everyone` when no post is held by anybody."""

    page_id: int
    hand_over_id: str
    conversation_id: str
    reason: str
    urgent: bool
    post: str
    since: datetime
    everyone: bool


def patience(urgent: bool) -> timedelta:
    """How long one post may take to answer: two minutes when urgent, else as the settings say."""
    config = settings()
    return timedelta(seconds=config.climb_urgent_seconds if urgent else config.climb_seconds)


def climb(session: Session, now: datetime) -> list[Page]:
    """Call the next post for every hand-over whose time is up; the pages that ring now.

    A new hand-over calls the 主班 at once. A post nobody holds is passed over. The 带班领导 is called again each
    time, whoever that is by then. When no post at all is held the call is to everyone (`staff_id` None).
    """
    due = session.scalars(
        select(HandOver.id)
        .outerjoin(Page, and_(Page.hand_over_id == HandOver.id, Page.level == HandOver.level))
        .where(
            HandOver.state == "waiting",
            or_(
                HandOver.climbs_at.is_(None),
                HandOver.climbs_at <= now,
                Page.id.is_(None),
                # It became urgent after the timer was set: the shorter one counts from the call.
                and_(HandOver.urgent.is_(True), Page.created_at <= now - patience(True)),
            ),
        )
        .order_by(HandOver.urgent.desc(), HandOver.created_at)
    ).all()
    if not due:
        return []
    duty = on_duty(session, now)
    pages = [_call(session, hand_over_id, duty, now) for hand_over_id in due]
    return [page for page in pages if page is not None]


def _call(session: Session, hand_over_id: str, duty: dict[str, Staff | None], now: datetime) -> Page | None:
    hand_over = session.scalar(
        select(HandOver)
        .where(HandOver.id == hand_over_id, HandOver.state == "waiting")
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if hand_over is None:
        return None  # Somebody claimed it meanwhile.
    called = _page(session, hand_over)
    first = called is None or hand_over.climbs_at is None
    if not first and called is not None:
        due = called.created_at + patience(hand_over.urgent)
        if hand_over.climbs_at is not None and min(hand_over.climbs_at, due) > now:
            return None  # Another process has called meanwhile.
    level = hand_over.level if first else min(hand_over.level + 1, TOP)
    while level < TOP and duty[POSTS[level]] is None:
        level += 1
    holder = duty[POSTS[level]]
    if holder is None:
        # Nobody above: whoever is on duty at all, from the top, before calling everyone.
        holder = next((duty[post] for post in reversed(POSTS) if duty[post]), None)
    hand_over.level = level
    hand_over.climbs_at = now + patience(hand_over.urgent)
    page = _page(session, hand_over)
    if page is None:
        page = Page(hand_over_id=hand_over.id, level=level)
        session.add(page)
    page.staff_id = holder.id if holder else None
    page.created_at, page.acknowledged_at = now, None
    session.flush()
    return page


def _page(session: Session, hand_over: HandOver) -> Page | None:
    return session.scalar(
        select(Page)
        .where(Page.hand_over_id == hand_over.id, Page.level == hand_over.level)
        .execution_options(populate_existing=True)
    )


def ringing(session: Session, staff: Staff) -> list[Ringing]:
    """The calls that somebody should hear: theirs, or everyone's, not yet seen; urgent ones first.

    Whoever was called on the way up keeps hearing it: a colleague above does not relieve them.
    """
    rows = session.execute(
        select(Page, HandOver)
        .join(HandOver, HandOver.id == Page.hand_over_id)
        .where(
            HandOver.state == "waiting",
            Page.level <= HandOver.level,
            Page.acknowledged_at.is_(None),
            or_(Page.staff_id == staff.id, Page.staff_id.is_(None)),
            # A call of an earlier wait of the same hand-over (requeued since) is over.
            HandOver.climbs_at.is_not(None),
        )
        .order_by(HandOver.urgent.desc(), Page.created_at)
    )
    return [
        Ringing(
            page.id, hand_over.id, hand_over.conversation_id, hand_over.reason, hand_over.urgent,
            POSTS[page.level], page.created_at, page.staff_id is None,
        )
        for page, hand_over in rows
    ]  # fmt: skip


def acknowledge(session: Session, page_id: int, staff: Staff, *, now: datetime) -> None:
    """Seen. Stops the ringing, not the climbing: seen is not answered. Raises NOT_FOUND for another's call."""
    page = session.get(Page, page_id)
    if page is None or page.staff_id not in (None, staff.id):
        raise HotlineError(Problem.NOT_FOUND)
    if page.acknowledged_at is None:
        page.acknowledged_at = now
        session.flush()


def requeue_silent(session: Session, now: datetime) -> list[str]:
    """Give conversations of silent agents back to the queue; their ids.

    Silent: the citizen waits for a word, and since they do, as since the agent's last act, the time of the settings
    has passed. The citizen is told (`bot.conversations.ownership.requeue`).
    """
    before = now - timedelta(minutes=settings().silent_owner_minutes)
    suspects = session.scalars(
        select(Conversation).where(
            Conversation.owner == "person",
            Conversation.closed_at.is_(None),
            Conversation.owner_active_at <= before,
        )
    ).all()
    given_back = []
    for suspect in suspects:
        asked = _waits_since(session, suspect)
        if asked is None or asked > before:
            continue
        # One process wins, and none if the agent wrote meanwhile.
        won = session.execute(
            update(Conversation)
            .where(
                Conversation.id == suspect.id,
                Conversation.owner == "person",
                Conversation.owner_id == suspect.owner_id,
                Conversation.owner_active_at == suspect.owner_active_at,
            )
            .values(owner_active_at=now)
        )
        if won.rowcount == 1:  # type: ignore[attr-defined]
            ownership.requeue(session, suspect.id, SILENT, now=now)
            given_back.append(suspect.id)
    return given_back


def _waits_since(session: Session, conversation: Conversation) -> datetime | None:
    """Since when the citizen waits for this owner's word; None if it is not their turn to wait.

    Who asked for a person waits from the claim on until the first word; after that, from each own message on.
    """
    claimed_at = conversation.claimed_at or conversation.updated_at
    said = select(Message).where(Message.conversation_id == conversation.id)
    spoken = session.scalar(
        select(func.max(Message.seq)).where(
            Message.conversation_id == conversation.id,
            Message.author == "staff",
            Message.created_at >= claimed_at,
        )
    )
    asked = select(HandOver.id).where(
        HandOver.conversation_id == conversation.id, HandOver.state == "claimed"
    )
    if spoken is None and session.scalar(asked.limit(1)):
        return claimed_at
    mine = said.where(Message.author == "user", Message.seq > (spoken or 0), Message.created_at >= claimed_at)
    first = session.scalar(mine.order_by(Message.seq).limit(1))
    return first.created_at if first else None
