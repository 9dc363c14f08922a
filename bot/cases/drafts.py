"""Drafts of a running intake: opened, saved at every turn, cancelled. Callers commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bot.cases.models import CaseDraft, CaseType
from bot.crypto import mask_text


class CaseError(Exception):
    """Base of the case store's errors: the caller asked for something the rules do not allow."""


class DraftClosed(CaseError):
    """The draft was submitted or cancelled, perhaps by another process."""


class _Keep:
    """Marks an argument that was not given."""


KEEP: Final = _Keep()


def current_draft(session: Session, conversation_id: str) -> CaseDraft | None:
    """The conversation's open draft, if there is one."""
    query = select(CaseDraft).where(CaseDraft.conversation_id == conversation_id, CaseDraft.state == "open")
    return session.scalar(query)


def open_draft(
    session: Session, conversation_id: str, *, now: datetime, type: CaseType | None = None
) -> CaseDraft:
    """The conversation's open draft, made if there is none. Two processes at once get the same one."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(CaseDraft).values(
        conversation_id=conversation_id,
        type=type.value if type else None,
        data={},
        created_at=now,
        updated_at=now,
    )
    session.execute(
        statement.on_conflict_do_nothing(
            index_elements=["conversation_id"], index_where=text("state = 'open'")
        )
    )
    draft = current_draft(session, conversation_id)
    assert draft is not None
    return draft


def save_draft(
    session: Session,
    draft: CaseDraft,
    *,
    now: datetime,
    data: dict[str, Any] | _Keep = KEEP,
    asked: str | _Keep | None = KEEP,
    type: CaseType | _Keep | None = KEEP,
    privacy_notice_version: str | _Keep = KEEP,
) -> CaseDraft:
    """Save what a turn has learned; what is not given stays. Returns the stored draft.

    ID and bank card numbers in any string are masked before they are stored (个人信息保护法 Art 6). A privacy
    notice (Art 17) is recorded with the time it was shown. Raises `DraftClosed` unless the draft is open.
    """
    draft = lock_draft(session, draft)
    if draft.state != "open":
        raise DraftClosed(f"Draft {draft.id} is {draft.state}.")
    if not isinstance(data, _Keep):
        draft.data = scrubbed(data)
    if not isinstance(asked, _Keep):
        draft.asked = asked
    if not isinstance(type, _Keep):
        draft.type = type.value if type else None
    if not isinstance(privacy_notice_version, _Keep):
        draft.privacy_notice_version = privacy_notice_version
        draft.privacy_notice_at = now
    draft.updated_at = now
    session.flush()
    return draft


def cancel_draft(session: Session, draft: CaseDraft, *, now: datetime) -> CaseDraft:
    """Cancel an open draft and forget what it held (Art 47). Cancelling again changes nothing.

    Raises `DraftClosed` if it was submitted: a case is withdrawn, not cancelled.
    """
    draft = lock_draft(session, draft)
    if draft.state == "submitted":
        raise DraftClosed(f"Draft {draft.id} is submitted.")
    if draft.state == "open":
        draft.state, draft.data, draft.asked, draft.updated_at = "cancelled", {}, None, now
        session.flush()
    return draft


def lock_draft(session: Session, draft: CaseDraft) -> CaseDraft:
    """The draft as the database has it now, locked until the transaction ends.

    On SQLite the transaction itself holds the only write lock.
    """
    session.flush()
    stored = session.get(CaseDraft, draft.id, with_for_update=True, populate_existing=True)
    if stored is None:
        raise CaseError(f"There is no draft {draft.id}.")
    return stored


def scrubbed(value: Any) -> Any:
    """A copy of a JSON value with ID and bank card numbers masked in every string."""
    if isinstance(value, str):
        return mask_text(value, phones=False)
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(item) for item in value]
    return value
