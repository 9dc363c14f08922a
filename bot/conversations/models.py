"""Tables of conversations, their ordered log, and hand-overs (转人工)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, EncryptedText, UtcDateTime


class Conversation(Base):
    """One citizen's thread on one channel. `state` is what the next turn needs to know."""

    __tablename__ = "conversations"
    __table_args__ = (CheckConstraint("owner IN ('bot', 'person')", name="owner"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(6), default="bot")
    owner_name: Mapped[str | None] = mapped_column(String(64))
    next_seq: Mapped[int] = mapped_column(default=1)
    state: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("conversations.state"), default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Message(Base):
    """One line of the log. A citizen's message is answered once: `answered_at` is set with its replies."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        # The same delivery twice is one message (promise 2).
        UniqueConstraint("channel", "external_id"),
        CheckConstraint("author IN ('user', 'bot', 'staff', 'system')", name="author"),
        Index(
            "ix_messages_unanswered",
            "conversation_id",
            sqlite_where=text("author = 'user' AND answered_at IS NULL"),
            postgresql_where=text("author = 'user' AND answered_at IS NULL"),
        ),
        Index("ix_messages_reply_to", "reply_to"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    seq: Mapped[int]
    author: Mapped[str] = mapped_column(String(6))
    channel: Mapped[str] = mapped_column(String(16))
    external_id: Mapped[str | None] = mapped_column(String(128))
    body: Mapped[str] = mapped_column(EncryptedText("messages.body"))
    extra: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson("messages.extra"))
    reply_to: Mapped[str | None] = mapped_column(ForeignKey("messages.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class HandOver(Base):
    """A citizen waits for a person. Open until a person claims it or the citizen's matter is closed."""

    __tablename__ = "hand_overs"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'claimed', 'closed')", name="state"),
        Index(
            "uq_hand_overs_open",
            "conversation_id",
            unique=True,
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    reason: Mapped[str] = mapped_column(String(64))
    urgent: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
