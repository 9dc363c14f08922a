"""The table of deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, UtcDateTime


class Delivery(Base):
    """One thing to be sent once. `target` and `payload` are what the adapter of its `kind` needs.

    Deliveries of one `lane` (a phone number's hash, a department) go out in the order of `id`. `dedupe_key` makes
    queueing the same thing twice harmless, `external_id` is the receiver's or gateway's number for reports.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("dedupe_key"),
        CheckConstraint(
            "state IN ('pending', 'leased', 'sent', 'delivered', 'dead', 'cancelled')", name="state"
        ),
        Index("ix_outbox_due", "state", "next_at"),
        Index("ix_outbox_lane", "lane", "state", "id"),
        Index("ix_outbox_external", "kind", "external_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(36), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    lane: Mapped[str] = mapped_column(String(80))
    dedupe_key: Mapped[str] = mapped_column(String(160))
    target: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("outbox.target"))
    payload: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("outbox.payload"))
    conversation_id: Mapped[str | None] = mapped_column(String(36), index=True)
    case_number: Mapped[str | None] = mapped_column(String(24), index=True)
    request_id: Mapped[str | None] = mapped_column(String(36))  # of the call that queued it, for the logs
    state: Mapped[str] = mapped_column(String(10), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)
    leased_by: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(String(255))
    external_id: Mapped[str | None] = mapped_column(String(128))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
