"""Tables of the desk: calls to staff, notes, review of what was missed, the copilot's record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, EncryptedText, UtcDateTime


class Page(Base):
    """A call to somebody on duty (呼叫) for an unclaimed hand-over; `acknowledged_at` when it was seen."""

    __tablename__ = "pages"
    __table_args__ = (UniqueConstraint("hand_over_id", "level"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    hand_over_id: Mapped[str] = mapped_column(ForeignKey("hand_overs.id"))
    level: Mapped[int]
    staff_id: Mapped[str | None] = mapped_column(ForeignKey("staff.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Note(Base):
    """An internal note (内部备注) on a conversation or a case; never shown to citizens."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversations.id"), index=True)
    case_number: Mapped[str | None] = mapped_column(ForeignKey("cases.number"), index=True)
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"))
    body: Mapped[str] = mapped_column(EncryptedText("notes.body"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class CopilotOutcome(Base):
    """What an agent made of a suggestion: accepted, edited or dropped."""

    __tablename__ = "copilot_outcomes"
    __table_args__ = (CheckConstraint("outcome IN ('accepted', 'edited', 'dropped')", name="outcome"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"))
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversations.id"))
    kind: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str] = mapped_column(String(8))
    suggestion: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("copilot_outcomes.suggestion"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Review(Base):
    """A message that was missed or doubted, waiting for a person to label it (see `hotline export reviewed`)."""

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("source", "message_id"),
        CheckConstraint("state IN ('open', 'labelled', 'dismissed', 'exported')", name="state"),
        Index("ix_reviews_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(12))  # fallback, clarify, thumbs_down, correction
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id"))
    text: Mapped[str] = mapped_column(EncryptedText("reviews.text"))  # masked before it is stored
    reading: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson("reviews.reading"))
    state: Mapped[str] = mapped_column(String(10), default="open")
    act: Mapped[str | None] = mapped_column(String(24))
    measures: Mapped[list[int] | None] = mapped_column(JSON)
    facet: Mapped[str | None] = mapped_column(String(16))
    decided_by: Mapped[str | None] = mapped_column(ForeignKey("staff.id"))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
