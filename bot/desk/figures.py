"""Figures (统计): volume, what the bot solved, waits, clocks, satisfaction, what was missed. Pure queries.

What lies encrypted is never opened for them: messages are counted by hour when they are gathered
(`bot.desk.tallies`), at most about two minutes late; everything else stands in plain columns. Nothing here claims
first-contact resolution (FCR): whether a citizen's matter was settled at the first contact is not known to us.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from bot.cases.calendar import SHANGHAI, local_date
from bot.cases.models import Case, CaseClock, CaseType, FollowUp
from bot.conversations.models import Conversation, HandOver, Rating
from bot.desk.models import CopilotOutcome, Review
from bot.desk.tallies import Tally
from bot.engine.text import normalise

LONGEST = timedelta(days=366)
READ_REVIEWS = 2000  # newest missed messages that are opened for the top misses
TOP = 20


def day_bounds(first: date, last: date) -> tuple[datetime, datetime]:
    """From the beginning of `first` to the end of `last` in Jilin. Raises `ValueError` if that is no period."""
    start = datetime(first.year, first.month, first.day, tzinfo=SHANGHAI)
    end = datetime(last.year, last.month, last.day, tzinfo=SHANGHAI) + timedelta(days=1)
    if end <= start or end - start > LONGEST:
        raise ValueError("a period of 1 to 366 days is needed")
    return start, end


def figures(session: Session, start: datetime, end: datetime, *, now: datetime) -> dict[str, Any]:
    """All figures from `start` (included) to `end` (not included)."""
    return {
        "from": start.astimezone(SHANGHAI).isoformat(),
        "to": end.astimezone(SHANGHAI).isoformat(),
        "volume": volume(session, start, end),
        "cases": cases(session, start, end),
        "solved": solved(session, start, end),
        "hand_over": hand_over_wait(session, start, end),
        "clocks": clocks(session, start, end, today=local_date(now)),
        "satisfaction": satisfaction(session, start, end),
        "misses": top_misses(session, start, end),
        "copilot": copilot(session, start, end),
    }


def volume(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """Citizens' messages by hour of the day (Jilin), by day, channel; turns by kind; turns by measure."""
    within = (Tally.hour >= start, Tally.hour < end)
    said = session.execute(
        select(Tally.hour, Tally.channel, Tally.count).where(*within, Tally.what == "message")
    )
    by_hour: Counter[int] = Counter()
    by_day: Counter[str] = Counter()
    by_channel: Counter[str] = Counter()
    for hour, channel, count in said:
        local = hour.astimezone(SHANGHAI)
        by_hour[local.hour] += count
        by_day[local.date().isoformat()] += count
        by_channel[channel] += count
    answered = session.execute(
        select(Tally.what, Tally.key, func.sum(Tally.count))
        .where(*within, Tally.what.in_(("answer", "measure")))
        .group_by(Tally.what, Tally.key)
    )
    by: dict[str, Counter[str]] = {"answer": Counter(), "measure": Counter()}
    for what, key, count in answered:
        by[what][key] = int(count)
    return {
        "messages": sum(by_channel.values()),
        "by_hour": [by_hour[hour] for hour in range(24)],
        "by_day": dict(sorted(by_day.items())),
        "by_channel": dict(by_channel.most_common()),
        "by_kind": dict(by["answer"].most_common()),
        "by_measure": {int(number): count for number, count in by["measure"].most_common()},
    }


def cases(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """Cases registered, by type and by channel."""
    rows = session.execute(
        select(Case.type, Case.channel, func.count())
        .where(Case.created_at >= start, Case.created_at < end)
        .group_by(Case.type, Case.channel)
    )
    by_type: Counter[str] = Counter()
    by_channel: Counter[str] = Counter()
    for type, channel, count in rows:
        by_type[CaseType(type).label] += count
        by_channel[channel] += count
    return {
        "registered": sum(by_type.values()),
        "by_type": dict(by_type.most_common()),
        "by_channel": dict(by_channel.most_common()),
    }


def solved(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """Conversations that ended with the bot alone: nobody was called and nobody took over.

    Counted are those with something said by the citizen whose last message lies in the period. Somebody who gave up
    is among them: this is the share without a person, not the share of the content.
    """
    # The greeting is the first message: 2 is the next seq of a conversation in which nothing was said.
    said = (Conversation.updated_at >= start, Conversation.updated_at < end, Conversation.next_seq > 2)
    # One list for all: hand-overs have no index by conversation. No conversation is kept longer than a year.
    handed = select(HandOver.conversation_id).where(
        HandOver.created_at >= start - LONGEST, HandOver.created_at < end
    )
    alone = (Conversation.claimed_at.is_(None), Conversation.id.not_in(handed))
    total = session.scalar(select(func.count()).select_from(Conversation).where(*said)) or 0
    bot = session.scalar(select(func.count()).select_from(Conversation).where(*said, *alone)) or 0
    return {"conversations": total, "bot_alone": bot, "share": _share(bot, total)}


def hand_over_wait(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """Seconds from a hand-over to its claim: median and 90th percentile; those given up stand apart."""
    rows = session.execute(
        select(HandOver.created_at, HandOver.claimed_at, HandOver.state, HandOver.urgent).where(
            HandOver.created_at >= start, HandOver.created_at < end
        )
    ).all()
    waits = {
        urgent: sorted(
            (row.claimed_at - row.created_at).total_seconds()
            for row in rows
            if row.claimed_at is not None and row.urgent is urgent
        )
        for urgent in (True, False)
    }
    return {
        "hand_overs": len(rows),
        "waiting": sum(row.state == "waiting" for row in rows),
        "closed_unclaimed": sum(row.state == "closed" and row.claimed_at is None for row in rows),
        "all": _waits(sorted(waits[True] + waits[False])),
        "urgent": _waits(waits[True]),
    }


def _waits(seconds: Sequence[float]) -> dict[str, Any]:
    if not seconds:
        return {"claimed": 0, "median": None, "p90": None}
    # Nearest rank: a value that somebody really waited.
    return {
        "claimed": len(seconds),
        "median": statistics.median(seconds),
        "p90": seconds[math.ceil(0.9 * len(seconds)) - 1],
    }


def clocks(session: Session, start: datetime, end: datetime, *, today: date) -> dict[str, Any]:
    """Statutory clocks due in the period: met in time, met late, missed and still open, not yet due."""
    met = CaseClock.met_on.is_not(None)
    columns = {
        "in_time": met & (CaseClock.met_on <= CaseClock.due_on),
        "late": met & (CaseClock.met_on > CaseClock.due_on),
        "missed": CaseClock.met_on.is_(None) & (CaseClock.due_on < today),
        "running": CaseClock.met_on.is_(None) & (CaseClock.due_on >= today),
    }
    rows = session.execute(
        select(CaseClock.key, CaseClock.name, *(func.sum(case((c, 1), else_=0)) for c in columns.values()))
        .where(CaseClock.due_on >= local_date(start), CaseClock.due_on < local_date(end))
        .group_by(CaseClock.key, CaseClock.name)
        .order_by(CaseClock.key)
    )
    found = [dict(zip(("key", "name", *columns), row)) for row in rows]
    total = {name: sum(row[name] for row in found) for name in columns}
    over = total["in_time"] + total["late"] + total["missed"]
    return {"total": total | {"share": _share(total["in_time"], over)}, "by_clock": found}


def satisfaction(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """Citizens' ratings of conversations (1 to 5), and what was said in satisfaction calls (回访) on cases."""
    scores = dict(
        session.execute(
            select(Rating.score, func.count())
            .where(Rating.created_at >= start, Rating.created_at < end)
            .group_by(Rating.score)
        ).all()
    )
    said = session.execute(
        select(FollowUp.satisfaction, FollowUp.reached, FollowUp.solved, func.count())
        .where(FollowUp.at >= start, FollowUp.at < end)
        .group_by(FollowUp.satisfaction, FollowUp.reached, FollowUp.solved)
    ).all()
    calls = sum(row[3] for row in said)
    reached = sum(row[3] for row in said if row.reached)
    words: Counter[str] = Counter()
    for row in said:
        if row.satisfaction:
            words[row.satisfaction] += row[3]
    ratings = sum(scores.values())
    return {
        "ratings": ratings,
        "average": round(sum(score * n for score, n in scores.items()) / ratings, 2) if ratings else None,
        "by_score": {score: scores.get(score, 0) for score in range(1, 6)},
        "follow_ups": calls,
        "reached": reached,
        "solved": sum(row[3] for row in said if row.solved),
        "by_word": dict(words.most_common()),
    }


def top_misses(session: Session, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """What was missed most, alike words together; of the newest `READ_REVIEWS` missed messages. Texts are masked."""
    newest = session.scalars(
        select(Review)
        .where(Review.created_at >= start, Review.created_at < end)
        .order_by(Review.id.desc())
        .limit(READ_REVIEWS)
    )
    groups: dict[str, list[Review]] = defaultdict(list)
    for review in newest:
        groups[_bare(review.text)].append(review)
    most = sorted(groups.values(), key=lambda some: (-len(some), -some[0].id))[:TOP]
    return [
        {
            "text": some[0].text,
            "count": len(some),
            "sources": dict(Counter(review.source for review in some)),
            "open": sum(review.state == "open" for review in some),
            "near": _near((some[0].reading or {}).get("scores") or {}),
        }
        for some in most
    ]


def _near(scores: dict[str, float]) -> list[int]:
    """The two likeliest measures; what is stored as JSON has no order."""
    return [int(number) for number in sorted(scores, key=lambda n: -scores[n])[:2]]


def _bare(text: str) -> str:
    return "".join(c for c in normalise(text) if c.isalnum())


def copilot(session: Session, start: datetime, end: datetime) -> dict[str, Any]:
    """What agents made of suggestions, by kind."""
    rows = session.execute(
        select(CopilotOutcome.kind, CopilotOutcome.outcome, func.count())
        .where(CopilotOutcome.at >= start, CopilotOutcome.at < end)
        .group_by(CopilotOutcome.kind, CopilotOutcome.outcome)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for kind, outcome, count in rows:
        found[kind][outcome] = count
    return dict(found)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
