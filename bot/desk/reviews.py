"""What was missed (复核): gathered from the log, labelled or dismissed by staff, exported as proposed examples.

Nothing is trained unseen: a gathered message only becomes a proposal when a person said what it means, and a
proposal only becomes training data when another person copies it into `nlu_data/`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from bot.conversations.models import Conversation, Feedback, Message
from bot.desk import labels, tallies
from bot.desk.models import CopilotOutcome, Review
from bot.desk.scrub import known_of, personal, scrub
from bot.desk.tallies import Key, hour_of
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

MARK = "gathered"
LAG = timedelta(seconds=60)  # A transaction that is under way may still store something older than now.
FIRST = timedelta(days=30)  # how far the first gathering looks back
STEP = timedelta(days=1)  # of time that one call goes through at most
ROWS = 200  # messages that are in memory at once
EVERY = 60.0  # seconds between two gatherings of the desk
MISSED = ("fallback", "clarify")
PAGE = 50


@dataclass(frozen=True)
class Gathered:
    """What one call found; `done`: nothing older than the lag is left."""

    reviews: int
    messages: int
    done: bool


@dataclass(frozen=True)
class _Found:
    source: str
    message_id: str
    extra: dict[str, Any]  # joins the reading


def gather(session: Session, now: datetime) -> Gathered:
    """Go on from the last mark: count the hour's turns, put what was missed up for review. The caller commits.

    Idempotent: each message is counted and reviewed once, whoever calls and however often; two processes at once
    wait for each other.
    """
    start = tallies.mark_of(session, MARK, now - FIRST)
    end = min(start + STEP, now - LAG)
    if end <= start:
        return Gathered(0, 0, True)
    found, counts = _turns(session, start, end)
    found += [*_thumbs_down(session, start, end), *_corrections(session, start, end)]
    tallies.add(session, counts)
    added = sum(_put(session, found[n : n + ROWS], now) for n in range(0, len(found), ROWS))
    tallies.move_mark(session, MARK, end)
    session.flush()
    return Gathered(added, sum(n for key, n in counts.items() if key.what == "message"), end >= now - LAG)


def gather_all(sessions: sessionmaker[Session], now: Callable[[], datetime]) -> int:
    """Gather until nothing is left; each step is a transaction of its own. Returns the number of new reviews."""
    added = 0
    while True:
        with sessions.begin() as session:
            step = gather(session, now())
        added += step.reviews
        if step.done:
            return added


async def keep_gathering(sessions: sessionmaker[Session], now: Callable[[], datetime]) -> None:
    """The desk's loop: gather every minute until cancelled."""
    while True:
        try:
            await asyncio.to_thread(gather_all, sessions, now)
        except StorageError as error:
            logger.warning("not_gathered", error=str(error))
        except Exception as error:
            # The next minute tries again; a desk that stopped gathering would look like nothing is missed.
            logger.exception("not_gathered", error=type(error).__name__)
        await asyncio.sleep(EVERY)


def _turns(session: Session, start: datetime, end: datetime) -> tuple[list[_Found], Counter[Key]]:
    rows = session.execute(
        select(Message.author, Message.channel, Message.reply_to, Message.created_at, Message.extra)
        .join(Conversation, Conversation.id == Message.conversation_id)
        # Every message moves `updated_at`, which has an index; `created_at` has none.
        .where(Conversation.updated_at >= start, Message.created_at >= start, Message.created_at < end)
        .order_by(Message.conversation_id, Message.seq),
        # A busy minute has thousands of readings: a process that once held them all never gives the memory back.
        execution_options={"yield_per": ROWS},
    )
    counts: Counter[Key] = Counter()
    found: list[_Found] = []
    seen: set[str] = set()
    for author, channel, reply_to, at, extra in rows:
        hour = hour_of(at)
        if author in ("user", "staff"):
            counts[Key(hour, "message" if author == "user" else "person", "", channel)] += 1
        answer = (extra or {}).get("answer") if author == "bot" else None
        if not answer or not reply_to or reply_to in seen:
            continue
        seen.add(reply_to)
        kind = str(answer.get("kind", ""))
        counts[Key(hour, "answer", kind[:16], channel)] += 1
        for number in answer.get("measures", []):
            counts[Key(hour, "measure", str(number)[:16], channel)] += 1
        # The questions of the walk (逐步对照) have the kind of an ask-back, but offer no measures.
        if kind in MISSED and (kind == "fallback" or answer.get("options")):
            found.append(_Found(kind, reply_to, {"said": kind, "options": answer.get("options", [])}))
    return found, counts


def _thumbs_down(session: Session, start: datetime, end: datetime) -> Iterable[_Found]:
    rows = session.execute(
        select(Message.reply_to, Message.extra)
        .join(
            Feedback,
            (Feedback.conversation_id == Message.conversation_id) & (Feedback.seq == Message.seq),
        )
        .where(Feedback.helpful.is_(False), Feedback.created_at >= start, Feedback.created_at < end)
    )
    for reply_to, extra in rows:
        answer = (extra or {}).get("answer") or {}
        if reply_to:
            said = {"said": answer.get("kind"), "said_measures": answer.get("measures", [])}
            yield _Found("thumbs_down", reply_to, said)


def _corrections(session: Session, start: datetime, end: datetime) -> Iterable[_Found]:
    rows = session.scalars(
        select(CopilotOutcome).where(
            CopilotOutcome.at >= start, CopilotOutcome.at < end, CopilotOutcome.outcome != "accepted"
        )
    )
    for row in rows:
        if message_id := row.suggestion.get("message_id"):
            yield _Found("correction", str(message_id), {"corrected": row.suggestion.get("corrected") or {}})


def _put(session: Session, found: Sequence[_Found], now: datetime) -> int:
    if not found:
        return 0
    wanted = {one.message_id for one in found}
    said = {
        message.id: message
        for message in session.scalars(
            select(Message).where(Message.id.in_(wanted), Message.author == "user")
        )
    }
    known = known_of(session, {message.conversation_id for message in said.values()})
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    added = 0
    for one in found:
        message = said.get(one.message_id)
        text = scrub(message.body, known[message.conversation_id]) if message else ""
        if message is None or not text:
            continue
        row = insert(Review).values(
            source=one.source,
            message_id=message.id,
            text=text,
            reading=_reading(message) | one.extra,
            state="open",
            created_at=now,
        )
        done = session.execute(row.on_conflict_do_nothing(index_elements=["source", "message_id"]))
        added += done.rowcount  # type: ignore[attr-defined]
    return added


def _reading(message: Message) -> dict[str, Any]:
    """What the engine understood, without the words: they are the review's, scrubbed."""
    reading = (message.extra or {}).get("reading") or {}
    return {key: value for key, value in reading.items() if key not in ("text", "extra")}


# -- labelling ----------------------------------------------------------------------------------------


def list_reviews(
    session: Session,
    *,
    state: str = "open",
    source: str | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> list[Review]:
    """Newest first; `after` is the id of the last one of the page before."""
    query = select(Review).where(Review.state == state)
    if source:
        query = query.where(Review.source == source)
    if after is not None:
        query = query.where(Review.id < after)
    return list(session.scalars(query.order_by(Review.id.desc()).limit(limit)))


def _open(session: Session, review_id: int) -> Review:
    review = session.get(Review, review_id, with_for_update=True, populate_existing=True)
    if review is None:
        raise HotlineError(Problem.UNKNOWN_REVIEW)
    if review.state == "exported":
        raise HotlineError(Problem.ALREADY_EXPORTED)
    return review


def label(
    session: Session,
    review_id: int,
    staff: Staff,
    *,
    act: str,
    measures: Sequence[int] = (),
    facet: str | None = None,
    specified: bool = True,
    ambiguous: bool = False,
    text: str | None = None,
    now: datetime,
) -> Review:
    """Say what the message means; again as long as it was not exported. `text` replaces the words.

    Raises `HotlineError`: UNKNOWN_REVIEW, ALREADY_EXPORTED, WRONG_LABEL (also for a `text` that still holds
    personal data).
    """
    review = _open(session, review_id)
    labels.check(act, measures, facet, ambiguous=ambiguous)
    if text is not None:
        flat = scrub(text)
        if not flat or personal(flat):
            raise HotlineError(Problem.WRONG_LABEL)
        review.text = flat
    review.act, review.measures, review.facet = act, list(measures) or None, facet
    review.reading = (review.reading or {}) | {"label": {"specified": specified, "ambiguous": ambiguous}}
    return _decided(session, review, "labelled", staff, now)


def dismiss(session: Session, review_id: int, staff: Staff, *, now: datetime) -> Review:
    """Nothing is to be learned from it. Raises UNKNOWN_REVIEW, ALREADY_EXPORTED."""
    review = _open(session, review_id)
    review.act = review.measures = review.facet = None
    return _decided(session, review, "dismissed", staff, now)


def _decided(session: Session, review: Review, state: str, staff: Staff, now: datetime) -> Review:
    review.state, review.decided_by, review.decided_at = state, staff.id, now
    session.flush()
    return review


def as_json(session: Session, reviews: Sequence[Review]) -> list[dict[str, Any]]:
    """Reviews as the API gives them, with the place of the message in its conversation."""
    where = select(Message.id, Message.conversation_id, Message.seq, Message.channel, Message.created_at)
    rows = session.execute(where.where(Message.id.in_([review.message_id for review in reviews])))
    place = {row.id: row for row in rows}
    return [
        {
            "id": review.id,
            "source": review.source,
            "text": review.text,
            "state": review.state,
            "reading": review.reading or {},
            "act": review.act,
            "measures": review.measures or [],
            "facet": review.facet,
            "specified": ((review.reading or {}).get("label") or {}).get("specified", True),
            "ambiguous": ((review.reading or {}).get("label") or {}).get("ambiguous", False),
            "conversation_id": row.conversation_id if (row := place.get(review.message_id)) else None,
            "seq": row.seq if row else None,
            "channel": row.channel if row else None,
            "said_at": row.created_at.isoformat(timespec="seconds") if row else None,
            "created_at": review.created_at.isoformat(timespec="seconds"),
        }
        for review in reviews
    ]
