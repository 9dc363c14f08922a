"""Tables of the case store. Personal data stands in encrypted columns only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    event,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, EncryptedText, UtcDateTime


class CaseType(str, Enum):
    """What a case is. Its letter stands in the number."""

    COMPLAINT = "T"  # 投诉, a consumer's
    REPORT = "J"  # 举报, anyone's, may be anonymous
    REQUEST = "S"  # 诉求, an SME's rights request (measure 15), no statutory mediation
    SUGGESTION = "Y"  # 意见建议

    @property
    def label(self) -> str:
        """The Chinese name people read."""
        return {"T": "投诉", "J": "举报", "S": "诉求", "Y": "意见建议"}[self.value]


REGISTERED = "已登记"

_REQUEST_STATUSES = (REGISTERED, "已转办", "办理中", "已反馈", "已回访")
STATUSES: Mapping[CaseType, tuple[str, ...]] = {
    CaseType.COMPLAINT: (
        REGISTERED,
        "待受理",
        "已受理",
        "不予受理",
        "调解中",
        "终止调解",
        "达成调解",
        "已办结",
    ),
    CaseType.REPORT: (REGISTERED, "核查中", "立案", "不予立案", "已告知"),
    CaseType.REQUEST: _REQUEST_STATUSES,
    CaseType.SUGGESTION: _REQUEST_STATUSES,
}
"""Status words (状态) people read, by type; domain.md 2.3. What only the bot has saved is 已登记."""


class AppendOnly(Exception):
    """Somebody tried to change or delete a case event."""


def _uuid() -> str:
    return str(uuid.uuid4())


class CaseDraft(Base):
    """What a running intake knows so far; saved at every turn, at most one open draft a conversation."""

    __tablename__ = "case_drafts"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'submitted', 'cancelled')", name="state"),
        CheckConstraint("type IN ('T', 'J', 'S', 'Y')", name="type"),
        Index(
            "uq_case_drafts_open",
            "conversation_id",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_case_drafts_conversation_id", "conversation_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_uuid)
    conversation_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str | None] = mapped_column(String(1))
    state: Mapped[str] = mapped_column(String(9), default="open")
    data: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("case_drafts.data"), default=dict)
    asked: Mapped[str | None] = mapped_column(String(64))
    privacy_notice_version: Mapped[str | None] = mapped_column(String(32))
    privacy_notice_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Case(Base):
    """A registered case (工单). `fields` holds what the citizen said, `number` is what the citizen keeps.

    `query_code` is no column: `bot.cases.store.submit` sets it on an anonymous case for the receipt.
    """

    __tablename__ = "cases"
    __table_args__ = (
        CheckConstraint("type IN ('T', 'J', 'S', 'Y')", name="type"),
        # The last word on a raced submission: the same part of the same draft exists once.
        UniqueConstraint("draft_id", "part"),
        # Somebody who asks for the state of a case proves it by a phone or, unnamed, by a query code.
        CheckConstraint("phone_hash IS NOT NULL OR query_code_hash IS NOT NULL", name="lookup"),
        # The queue's pages: open cases by urgency and age, and the filters of the list.
        Index("ix_cases_open", "closed_at", "urgent", "created_at"),
        Index("ix_cases_status_code", "status", "sms_code"),
        Index("ix_cases_type_code", "type", "sms_code"),
        Index("ix_cases_stage_code", "stage", "sms_code"),
        Index("ix_cases_department_code", "department", "sms_code"),
        Index("ix_cases_channel_code", "channel", "sms_code"),
        Index("ix_cases_assignee_code", "assignee_id", "sms_code"),
        Index("ix_cases_urgent_code", "urgent", "sms_code"),
        Index("ix_cases_supervised_code", "supervised", "sms_code"),
        Index("ix_cases_due_on", "due_on"),
    )

    number: Mapped[str] = mapped_column(String(24), primary_key=True)
    sms_code: Mapped[str] = mapped_column(String(12), unique=True)
    type: Mapped[str] = mapped_column(String(1))
    status: Mapped[str] = mapped_column(String(16), default=REGISTERED)
    draft_id: Mapped[str] = mapped_column(ForeignKey("case_drafts.id"))
    part: Mapped[int]
    twin_number: Mapped[str | None] = mapped_column(ForeignKey("cases.number"))
    conversation_id: Mapped[str] = mapped_column(String(64), index=True)
    channel: Mapped[str] = mapped_column(String(16))
    confirmed_by_message: Mapped[str] = mapped_column(String(64), index=True)
    fields: Mapped[dict[str, Any]] = mapped_column(EncryptedJson("cases.fields"))
    phone_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    query_code_hash: Mapped[str | None] = mapped_column(String(64))
    anonymous: Mapped[bool] = mapped_column(default=False)
    confidential: Mapped[bool] = mapped_column(default=False)
    department: Mapped[str] = mapped_column(String(64))
    routing_reason: Mapped[str] = mapped_column(String(255))
    duplicate_of: Mapped[str | None] = mapped_column(ForeignKey("cases.number"))
    platform_reg_no: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    # What follows belongs to the desk (bot.cases.workflow): where the work order stands, and whose it is.
    stage: Mapped[str] = mapped_column(String(16), default="registered", server_default="registered")
    urgent: Mapped[bool] = mapped_column(default=False, server_default=false())
    assignee_id: Mapped[str | None] = mapped_column(String(36), index=True)
    supervised: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The earliest due date of its running clocks and of its 主办's dispatch, for sorting (store.refresh_due).
    due_on: Mapped[date | None]
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    query_code = None  # type: str | None


class CaseTerm(Base):
    """Blind index for search by words: a keyed hash of each word of a case's facts (never of the contact), so
    that the words can be found while they lie encrypted. `code` is the case's twelve digits, which sort by time.
    """

    __tablename__ = "case_terms"
    __table_args__ = ({"sqlite_with_rowid": False},)

    term: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class Dispatch(Base):
    """A case on its way to a department (派单): one 主办 and any number of 协办."""

    __tablename__ = "dispatches"
    __table_args__ = (
        CheckConstraint("part IN ('lead', 'support')", name="part"),
        CheckConstraint(
            "state IN ('sent', 'accepted', 'returned', 'answered', 'withdrawn')",
            name="state",
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_uuid)
    case_number: Mapped[str] = mapped_column(ForeignKey("cases.number"), index=True)
    part: Mapped[str] = mapped_column(String(8))
    department: Mapped[str] = mapped_column(String(64))
    opinion: Mapped[str] = mapped_column(EncryptedText("dispatches.opinion"))
    due_on: Mapped[date | None]
    state: Mapped[str] = mapped_column(String(12), default="sent")
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    returned_reason: Mapped[str | None] = mapped_column(String(32))
    result: Mapped[str | None] = mapped_column(EncryptedText("dispatches.result"))
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FollowUp(Base):
    """A satisfaction call (回访) after a case was answered."""

    __tablename__ = "follow_ups"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_uuid)
    case_number: Mapped[str] = mapped_column(ForeignKey("cases.number"), index=True)
    reached: Mapped[bool]
    solved: Mapped[bool | None]
    satisfaction: Mapped[str | None] = mapped_column(String(8))
    reason: Mapped[str | None] = mapped_column(EncryptedText("follow_ups.reason"))
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class CaseEvent(Base):
    """One thing that happened to a case. Append-only: here, and by triggers in the database."""

    __tablename__ = "case_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_number: Mapped[str] = mapped_column(ForeignKey("cases.number"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    status: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson("case_events.detail"))


class CaseClock(Base):
    """A statutory clock (时限) of a case, frozen as it was computed: later law changes do not move it."""

    __tablename__ = "case_clocks"
    __table_args__ = (
        CheckConstraint("unit IN ('工作日', '日')", name="unit"),
        UniqueConstraint("case_number", "key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    case_number: Mapped[str] = mapped_column(ForeignKey("cases.number"))
    key: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(64))
    from_date: Mapped[date]
    due_on: Mapped[date] = mapped_column(index=True)
    days: Mapped[int]
    unit: Mapped[str] = mapped_column(String(4))
    basis: Mapped[str] = mapped_column(String(255))
    mark: Mapped[str] = mapped_column(String(2))
    verified: Mapped[bool]
    provisional: Mapped[bool]
    showable: Mapped[bool]
    met_on: Mapped[date | None]


class ReceiptCounter(Base):
    """The last running number of a day in Asia/Shanghai, over all types."""

    __tablename__ = "receipt_counters"

    day: Mapped[date] = mapped_column(primary_key=True)
    last: Mapped[int]


@event.listens_for(CaseEvent, "before_update")
@event.listens_for(CaseEvent, "before_delete")
def _refuse(_mapper: Any, _connection: Any, target: CaseEvent) -> None:
    raise AppendOnly(f"Event {target.id} of case {target.case_number} cannot be changed or deleted.")
