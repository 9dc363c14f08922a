"""The copilot's calls, the reviews and the figures. Staff log-in needed (docs/copilot.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.calendar import local_date
from bot.channels.metrics import COPILOT_OUTCOMES, COPILOT_SECONDS
from bot.channels.promises import registry_of
from bot.conversations.models import Conversation, Message
from bot.crypto import mask_text
from bot.desk import copilot, figures, labels, reviews
from bot.desk.auth import requires
from bot.desk.models import CopilotOutcome
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission

LARGEST = 8000  # characters of a recorded suggestion as JSON
Result = TypeVar("Result")
Answerer = Annotated[Staff, requires(Permission.ANSWER)]
Reviewer = Annotated[Staff, requires(Permission.REVIEW)]
Viewer = Annotated[Staff, requires(Permission.FIGURES)]


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Beside the desk: what was missed is gathered every minute; the copilot is warm before it is asked."""
    gathering = asyncio.create_task(reviews.keep_gathering(app.state.sessions, app.state.now))
    warming = asyncio.create_task(asyncio.to_thread(copilot.warm))
    yield
    for task in (gathering, warming):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


router = APIRouter(prefix="/api/v1", tags=["desk: copilot"], lifespan=_running)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SuggestRequest(_Body):
    """What the caller says, as the agent typed or pasted it."""

    text: str
    conversation_id: str | None = Field(None, max_length=36)


class Label(_Body):
    """What a message means, in the terms of `nlu_data/`."""

    act: str = Field(max_length=24)
    measures: list[int] = Field(default_factory=list, max_length=4)
    facet: str | None = Field(None, max_length=16)


class OutcomeRequest(_Body):
    """What the agent made of one suggestion. `corrected` goes up for review with the citizen's message."""

    kind: str = Field(pattern="^[a-z_]{1,16}$")
    outcome: Literal["accepted", "edited", "dropped"]
    suggestion: dict[str, Any]
    conversation_id: str | None = Field(None, max_length=36)
    message_seq: int | None = Field(None, ge=1, le=2**31 - 1)
    corrected: Label | None = None


class ReviewRequest(_Body):
    """A label, or `dismiss`."""

    dismiss: bool = False
    act: str | None = Field(None, max_length=24)
    measures: list[int] = Field(default_factory=list, max_length=4)
    facet: str | None = Field(None, max_length=16)
    specified: bool = True
    ambiguous: bool = False
    text: str | None = Field(None, max_length=2000)


async def _write(request: Request, work: Callable[[Session], Result]) -> Result:
    def run() -> Result:
        with request.app.state.sessions.begin() as session:
            return work(session)

    return await asyncio.to_thread(run)


async def _look(request: Request, work: Callable[[Session], Result]) -> Result:
    def run() -> Result:
        with request.app.state.readers() as session:
            return work(session)

    return await asyncio.to_thread(run)


@router.post("/copilot/suggest")
async def suggest(request: Request, _: Answerer, body: SuggestRequest) -> dict[str, Any]:
    """What the words suggest; nothing is stored, sent or filed."""
    state = request.app.state
    begun = time.perf_counter()
    found = await copilot.suggest(
        state.engine, state.readers, body.text, body.conversation_id, now=state.now()
    )
    COPILOT_SECONDS.observe(time.perf_counter() - begun)
    return found


def _masked(value: Any) -> Any:
    """A copy of a JSON value without phone, ID and card numbers."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {mask_text(str(key)): _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


@router.post("/copilot/outcomes", status_code=201)
async def outcome(request: Request, staff: Answerer, body: OutcomeRequest) -> dict[str, int]:
    """Record what an agent accepted, edited or dropped."""
    if len(json.dumps(body.suggestion, ensure_ascii=False)) > LARGEST:
        raise HotlineError(Problem.TOO_LARGE)
    if body.message_seq is not None and body.conversation_id is None:
        raise HotlineError(Problem.MALFORMED)

    def work(session: Session) -> int:
        return record(session, staff, body, now=request.app.state.now()).id

    stored = await _write(request, work)
    COPILOT_OUTCOMES.labels(body.kind, body.outcome).inc()
    return {"id": stored}


def record(session: Session, staff: Staff, body: OutcomeRequest, *, now: Any) -> CopilotOutcome:
    """Store an outcome, personal numbers masked. Raises UNKNOWN_CONVERSATION, MALFORMED, WRONG_LABEL."""
    kept = _masked(body.suggestion)
    kept = {key: value for key, value in kept.items() if key not in ("message_id", "corrected")}
    if body.conversation_id is not None and session.get(Conversation, body.conversation_id) is None:
        raise HotlineError(Problem.UNKNOWN_CONVERSATION)
    if body.message_seq is not None:
        message_id = session.scalar(
            select(Message.id).where(
                Message.conversation_id == body.conversation_id,
                Message.seq == body.message_seq,
                Message.author == "user",
            )
        )
        if message_id is None:
            raise HotlineError(Problem.MALFORMED)
        kept["message_id"] = message_id
    if body.corrected is not None:
        labels.check(body.corrected.act, body.corrected.measures, body.corrected.facet)
        kept["corrected"] = body.corrected.model_dump()
    row = CopilotOutcome(
        staff_id=staff.id,
        conversation_id=body.conversation_id,
        kind=body.kind,
        outcome=body.outcome,
        suggestion=kept,
        at=now,
    )
    session.add(row)
    session.flush()
    return row


@router.get("/reviews")
async def list_reviews(
    request: Request,
    _: Reviewer,
    state: Literal["open", "labelled", "dismissed", "exported"] = "open",
    source: Literal["fallback", "clarify", "thumbs_down", "correction"] | None = None,
    after: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """What was missed, newest first, and what it may be labelled as."""

    def work(session: Session) -> dict[str, Any]:
        rows = reviews.list_reviews(session, state=state, source=source, after=after, limit=limit + 1)
        shown = rows[:limit]
        return {
            "reviews": reviews.as_json(session, shown),
            "next": shown[-1].id if len(rows) > limit else None,
            "choices": labels.choices(),
        }

    return await _look(request, work)


@router.post("/reviews/{review_id}")
async def decide(request: Request, staff: Reviewer, review_id: int, body: ReviewRequest) -> dict[str, Any]:
    """Label or dismiss; again as long as it was not exported."""
    if body.dismiss != (body.act is None) or not 0 < review_id < 2**31:
        raise HotlineError(Problem.MALFORMED)

    def work(session: Session) -> dict[str, Any]:
        now = request.app.state.now()
        if body.act is None:
            review = reviews.dismiss(session, review_id, staff, now=now)
        else:
            review = reviews.label(
                session,
                review_id,
                staff,
                act=body.act,
                measures=body.measures,
                facet=body.facet,
                specified=body.specified,
                ambiguous=body.ambiguous,
                text=body.text,
                now=now,
            )
        shown = reviews.as_json(session, [review])[0]
        detail = {key: shown[key] for key in ("state", "act", "measures", "facet")}
        audit.record(
            session, f"staff:{staff.username}", "review.decide", f"review:{review_id}", detail, now=now
        )
        return shown

    return await _write(request, work)


@router.get("/figures")
async def show_figures(
    request: Request,
    _: Viewer,
    first: Annotated[date | None, Query(alias="from")] = None,
    last: Annotated[date | None, Query(alias="to")] = None,
) -> dict[str, Any]:
    """The figures from one day to another, both included; default: the last seven days."""
    now = request.app.state.now()
    last = last or local_date(now)
    try:
        start, end = figures.day_bounds(first or last - timedelta(days=6), last)
    except (ValueError, OverflowError):
        raise HotlineError(Problem.MALFORMED) from None
    return await _look(request, lambda session: figures.figures(session, start, end, now=now))


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, _: Viewer) -> Response:
    """Prometheus: this process's counters (the copilot's among them) and the promises. Bearer of a program log-in."""
    state = request.app.state
    if not hasattr(state, "promises"):
        state.promises = registry_of(state.readers, state.now, state.config.home_dir)
    text = generate_latest() + await asyncio.to_thread(generate_latest, state.promises)
    return PlainTextResponse(text, media_type=CONTENT_TYPE_LATEST)
