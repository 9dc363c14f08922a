"""Tables of conversations, their ordered log, and hand-overs (转人工)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
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
    owner_id: Mapped[str | None] = mapped_column(String(36), index=True)
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # When the owner last did something here; a silent owner loses the conversation (bot.conversations.ownership).
    owner_active_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
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
    """A citizen waits for a person. Open until a person claims it or the citizen's matter is closed.

    `level` is the post of the duty roster (值班表) that is called now: 0 主班, 1 副班, 2 带班领导; it climbs when
    `climbs_at` passes unclaimed.
    """

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
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    level: Mapped[int] = mapped_column(default=0, server_default="0")
    climbs_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class CallBack(Base):
    """A call-back (回电) that was promised because nobody was free; `due_at` is the time that was named."""

    __tablename__ = "call_backs"
    __table_args__ = (CheckConstraint("state IN ('open', 'done', 'given_up')", name="state"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    phone: Mapped[str] = mapped_column(EncryptedText("call_backs.phone"))
    state: Mapped[str] = mapped_column(String(8), default="open")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    done_by: Mapped[str | None] = mapped_column(String(36))
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    note: Mapped[str | None] = mapped_column(EncryptedText("call_backs.note"))


class Address(Base):
    """Where a citizen is reached on a channel without a page (SMS number, WeChat openid), and the conversation
    that a message from there belongs to."""

    __tablename__ = "addresses"
    __table_args__ = (UniqueConstraint("channel", "address_hash"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16))
    address_hash: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(EncryptedText("addresses.address"))
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    last_inbound_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # 退订: no notices; replies to the citizen's own messages still go out.
    opted_out_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attachment(Base):
    """A picture or PDF that a citizen gave for a case; the file lies sealed under `HOTLINE_HOME/attachments`."""

    __tablename__ = "attachments"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    case_number: Mapped[str | None] = mapped_column(String(24), index=True)
    name: Mapped[str] = mapped_column(EncryptedText("attachments.name"))
    media_type: Mapped[str] = mapped_column(String(32))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Rating(Base):
    """How satisfied a citizen was with a conversation, 1 (非常不满意) to 5 (非常满意); one each."""

    __tablename__ = "ratings"
    __table_args__ = (CheckConstraint("score BETWEEN 1 AND 5", name="score"),)

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), primary_key=True)
    score: Mapped[int]
    comment: Mapped[str | None] = mapped_column(EncryptedText("ratings.comment"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Feedback(Base):
    """Thumbs up or down on one answer of the bot."""

    __tablename__ = "feedback"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    helpful: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Switch(Base):
    """One setting that staff made while the hotline runs, with its reason. Append-only: the newest row of a key
    is in force, the older ones are its record."""

    __tablename__ = "switches"
    __table_args__ = (Index("ix_switches_key_id", "key", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(40))
    value: Mapped[Any] = mapped_column(JSON)
    reason: Mapped[str] = mapped_column(String(255))
    set_by: Mapped[str] = mapped_column(String(64))
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)
