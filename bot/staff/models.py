"""Tables of people: staff, their sessions, the duty roster."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, EncryptedText, UtcDateTime


class Role(str, Enum):
    """What somebody may do; each role includes the ones before it."""

    AGENT = "agent"
    LEAD = "lead"
    ADMIN = "admin"

    @property
    def label(self) -> str:
        """The Chinese name."""
        return {"agent": "值班员", "lead": "班长", "admin": "管理员"}[self.value]


class Staff(Base):
    """A person who may log in."""

    __tablename__ = "staff"
    __table_args__ = (CheckConstraint("role IN ('agent', 'lead', 'admin')", name="role"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    username: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(32))
    role: Mapped[str] = mapped_column(String(8))
    password_hash: Mapped[str] = mapped_column(String(255))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    totp_secret: Mapped[str | None] = mapped_column(EncryptedText("staff.totp_secret"))
    totp_last: Mapped[int | None]  # the time step of the last code used: each works once
    active: Mapped[bool] = mapped_column(default=True)
    failed_attempts: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class StaffSession(Base):
    """A log-in. Only the hash of its token is stored; `kind` is `page` (cookie) or `program` (bearer)."""

    __tablename__ = "staff_sessions"
    __table_args__ = (CheckConstraint("kind IN ('page', 'program')", name="kind"),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Shift(Base):
    """One post of the duty roster (值班表): day, period (早/中/夜), post (主班/副班/带班领导)."""

    __tablename__ = "shifts"
    __table_args__ = (
        CheckConstraint("period IN ('早', '中', '夜')", name="period"),
        CheckConstraint("post IN ('主班', '副班', '带班领导')", name="post"),
        UniqueConstraint("day", "period", "post"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    period: Mapped[str] = mapped_column(String(2))
    post: Mapped[str] = mapped_column(String(4))
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"))


class ShiftReport(Base):
    """The hand-over between shifts (交接班): what is open, signed by both."""

    __tablename__ = "shift_reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    period: Mapped[str] = mapped_column(String(2))
    written_by: Mapped[str] = mapped_column(ForeignKey("staff.id"))
    written_at: Mapped[datetime] = mapped_column(UtcDateTime)
    taken_by: Mapped[str | None] = mapped_column(ForeignKey("staff.id"))
    taken_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("shift_reports.content"))
