"""The audit log (审计日志): who saw or changed what, in a hash chain that cannot be edited unnoticed.

网络安全法 asks for logs of at least six months, 个人信息保护法 Art 51 for a record of access to personal data. Each
entry's hash covers the entry and the hash before it; changing, removing or reordering one breaks every later
hash, and `verify` names the first that does not fit. The hashes are keyed (`bot.crypto`): who can write to the
database but has not the key cannot compute the chain anew. The chain's head is one row, locked while an entry is
added, so that two processes never add the same number; its hash binds the last number, so that cutting off the
newest entries is noticed as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import structlog
from sqlalchemy import LargeBinary, String, Table, event, func, select, text, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from bot.crypto import Tampered, data_key, mask_text
from bot.storage import Base, EncryptedJson, UtcDateTime

GENESIS = "0" * 64
PRUNED = "audit.pruned"
_DETAIL = "audit_log.detail"
_TOLD = "audit.told"  # in a session's info: what is logged when it commits

logger = structlog.get_logger(__name__)


class AuditEntry(Base):
    """One act of a person or of the system on `subject` ("case:JL-…", "conversation:…", "staff:…")."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80), index=True)
    detail: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson(_DETAIL))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The end of the chain; one row with id 1. `hash` seals the last entry's number together with its hash."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class Broken:
    """Where the chain does not hold: the entry's number (None: the head) and what is wrong there."""

    entry_id: int | None
    reason: str

    def __str__(self) -> str:
        where = "the chain's head" if self.entry_id is None else f"entry {self.entry_id}"
        return f"The audit log is broken at {where}: {self.reason}."


def record(
    session: Session,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, Any] | None = None,
    *,
    now: datetime,
) -> AuditEntry:
    """Add an entry to the chain, committed or rolled back together with what it tells of.

    `actor` is "staff:<username>", "system" or "citizen". `detail` is JSON without personal data: it cannot be
    erased later; phone, ID and card numbers in its `reason` are masked. The head stays locked until the commit; call this as the last step of a transaction. Raises
    `StorageError` as every write does.
    """
    head = _locked_head(session)
    previous = GENESIS if not head.last_id else session.scalar(_hash_of(head.last_id))
    entry = AuditEntry(
        id=head.last_id + 1,
        at=now.astimezone(timezone.utc),
        actor=actor[:64],
        action=action[:40],
        subject=subject[:80],
        # As it will be read back: tuples become lists before they are hashed.
        detail=None if detail is None else _masked(json.loads(json.dumps(detail, ensure_ascii=False))),
        # The last entry was removed behind our back: the gap stays for `verify` to find.
        previous=previous or GENESIS,
        hash="",
    )
    entry.hash = _entry_hash(
        entry.id, entry.at, entry.actor, entry.action, entry.subject, entry.detail, entry.previous
    )
    session.add(entry)
    head.last_id, head.hash = entry.id, _head_hash(entry.id, entry.hash)
    session.flush()
    session.info.setdefault(_TOLD, []).append((entry.action, entry.subject))
    return entry


@event.listens_for(Session, "after_commit")
def _tell(session: Session) -> None:
    """A line in the process's log for each act on a conversation or case, once it is a fact."""
    for action, subject in session.info.pop(_TOLD, []):
        kind, _, name = subject.partition(":")
        if kind in ("conversation", "case"):
            logger.info("act", action=action, **{kind: name})


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_TOLD, None)


def head(session: Session) -> tuple[int, str]:
    """Number and hash of the newest entry, (0, zeros) when there is none: to be noted down elsewhere."""
    last = session.execute(
        select(AuditEntry.id, AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)
    ).first()
    return (last.id, last.hash) if last else (0, GENESIS)


def verify(session: Session) -> Broken | None:
    """Recompute the whole chain; the first place that does not hold, or None.

    Found are: a changed, removed, inserted or reordered entry, a cut-off end, a log that was emptied. A chain
    whose beginning was pruned holds when an entry of its own tells so (`prune`).
    """
    last_id, last_hash, first, anchors = 0, GENESIS, None, {(0, GENESIS)}
    rows = session.execute(
        select(
            AuditEntry.id, AuditEntry.at, AuditEntry.actor, AuditEntry.action, AuditEntry.subject,
            type_coerce(AuditEntry.detail, LargeBinary).label("sealed"), AuditEntry.previous, AuditEntry.hash,
        )
        .order_by(AuditEntry.id)
        .execution_options(yield_per=1000)
    )  # fmt: skip
    for row in rows:
        if first is None:
            first = (row.id - 1, row.previous)
        elif row.id != last_id + 1:
            return Broken(last_id + 1, "it is missing")
        elif row.previous != last_hash:
            return Broken(row.id, "it does not follow from the entry before it")
        try:
            sealed = None if row.sealed is None else bytes(row.sealed)
            detail = None if sealed is None else json.loads(data_key().decrypt(sealed, _DETAIL))
        except (Tampered, TypeError, ValueError):
            return Broken(row.id, "its detail cannot be opened")
        made = _entry_hash(row.id, row.at, row.actor, row.action, row.subject, detail, row.previous)
        if made != row.hash:
            return Broken(row.id, "it was changed")
        if row.action == PRUNED and detail:
            anchors.add((detail["up_to"], detail["hash"]))
        last_id, last_hash = row.id, row.hash
    if first is not None and first not in anchors:
        return Broken(first[0], "it and everything before it is missing")
    return _verify_head(session, last_id, last_hash)


def prune(session: Session, before: datetime, *, actor: str, now: datetime) -> int:
    """Delete the entries from before `before` and say so in the chain; how many there were.

    The caller answers for the period (`bot.desk.retention`). The newest entry always stays. The table's triggers
    are lifted inside this transaction only, for which the database user must own the table.
    """
    _locked_head(session)
    newest = session.scalar(select(func.max(AuditEntry.id))) or 0
    # Times may stand out of order by the width of a race; only an unbroken beginning goes.
    kept = session.scalar(select(func.min(AuditEntry.id)).where(AuditEntry.at >= before)) or newest
    last = session.execute(
        select(AuditEntry.id, AuditEntry.hash)
        .where(AuditEntry.id < kept)
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return 0
    count = session.scalar(select(func.count()).where(AuditEntry.id <= last.id)) or 0
    _delete_up_to(session, last.id)
    record(session, actor, PRUNED, "audit", {"up_to": last.id, "hash": last.hash, "count": count}, now=now)
    return count


def _masked(detail: dict[str, Any]) -> dict[str, Any]:
    # A reason is what somebody typed; the rest of a detail is numbers and names of ours.
    reason = detail.get("reason")
    return detail | {"reason": mask_text(reason)} if isinstance(reason, str) else detail


def _hash_of(entry_id: int) -> Any:
    return select(AuditEntry.hash).where(AuditEntry.id == entry_id)


def _locked_head(session: Session) -> AuditHead:
    table = AuditHead.__table__
    assert isinstance(table, Table)
    dialect = session.get_bind().dialect.name
    first = {"id": 1, "last_id": 0, "hash": _head_hash(0, GENESIS)}
    find = (
        select(AuditHead).where(AuditHead.id == 1).with_for_update().execution_options(populate_existing=True)
    )
    if found := session.scalar(find):
        return found
    # Two processes may both find no head; the second one's insert waits and then does nothing.
    make = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    session.execute(make.values(first).on_conflict_do_nothing())
    return session.scalars(find).one()


def _entry_hash(
    number: int, at: datetime, actor: str, action: str, subject: str, detail: Any, previous: str
) -> str:
    moment = at.astimezone(timezone.utc).isoformat(timespec="microseconds")
    content = [number, moment, actor, action, subject, detail, previous]
    plain = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return data_key().keyed_hash("audit-entry", plain)


def _head_hash(last_id: int, entry_hash: str) -> str:
    return data_key().keyed_hash("audit-head", f"{last_id}:{entry_hash}")


def _verify_head(session: Session, last_id: int, last_hash: str) -> Broken | None:
    found = session.get(AuditHead, 1)
    if found is None:
        # Making the first account is audited: accounts without a log mean that the log was thrown away.
        emptied = last_id or session.scalar(text("SELECT count(*) FROM staff"))
        return Broken(None, "it is missing") if emptied else None
    if found.last_id > last_id:
        return Broken(last_id + 1, "it is missing: the end of the log was cut off")
    if found.last_id < last_id:
        return Broken(found.last_id + 1, "it was added past the head")
    if found.hash != _head_hash(last_id, last_hash):
        return Broken(None, "it was changed")
    return None


def _delete_up_to(session: Session, entry_id: int) -> None:
    delete = text("DELETE FROM audit_log WHERE id <= :last")
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_change"))
        session.execute(delete, {"last": entry_id})
        session.execute(text("ALTER TABLE audit_log ENABLE TRIGGER audit_log_no_change"))
        return
    name = "audit_log_no_delete"
    made = session.scalar(
        text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :n"), {"n": name}
    )
    session.execute(text(f"DROP TRIGGER {name}"))
    session.execute(delete, {"last": entry_id})
    session.execute(text(str(made)))


__all__ = ["AuditEntry", "AuditHead", "Broken", "head", "prune", "record", "verify"]
