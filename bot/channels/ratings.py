"""Satisfaction with a conversation (评价), and thumbs up or down on one answer."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.channels.widget import Access
from bot.conversations.models import Conversation, Feedback, Message, Rating
from bot.crypto import mask_text
from bot.errors import HotlineError, Problem

router = APIRouter(prefix="/api/v1", tags=["conversations"])

Seq = Annotated[int, Path(ge=1, le=2**31 - 1)]


class RatingRequest(BaseModel):
    """1 (很不满意) to 5 (很满意)."""

    model_config = ConfigDict(extra="forbid")
    score: int = Field(ge=1, le=5, strict=True)
    comment: str = Field("", max_length=500)


class FeedbackRequest(BaseModel):
    """Whether an answer helped."""

    model_config = ConfigDict(extra="forbid")
    helpful: bool = Field(strict=True)


def _locked(session: Session, conversation_id: str) -> None:
    # Two calls at once: the later one changes what the first has stored.
    session.execute(select(Conversation.id).where(Conversation.id == conversation_id).with_for_update())


@router.post("/conversations/{conversation_id}/rating", status_code=204)
async def rate(request: Request, opened: Access, body: RatingRequest) -> Response:
    """One a conversation; a second call changes it. Personal numbers in the comment are masked."""
    state = request.app.state
    comment = mask_text(body.comment.replace("\x00", "").strip()) or None

    def work() -> None:
        with state.sessions.begin() as session:
            _locked(session, opened.id)
            row = Rating(
                conversation_id=opened.id, score=body.score, comment=comment, created_at=state.turns.now()
            )
            session.merge(row)

    await asyncio.to_thread(work)
    return Response(status_code=204)


@router.post("/conversations/{conversation_id}/messages/{seq}/feedback", status_code=204)
async def feedback(request: Request, opened: Access, seq: Seq, body: FeedbackRequest) -> Response:
    """One an answer of the bot; a second call changes it. 404 for any other message."""
    state = request.app.state

    def work() -> None:
        with state.sessions.begin() as session:
            _locked(session, opened.id)
            about = select(Message.author).where(Message.conversation_id == opened.id, Message.seq == seq)
            if session.scalar(about) != "bot":
                raise HotlineError(Problem.NOT_FOUND)
            given = {"helpful": body.helpful, "created_at": state.turns.now()}
            session.merge(Feedback(conversation_id=opened.id, seq=seq, **given))

    await asyncio.to_thread(work)
    return Response(status_code=204)
