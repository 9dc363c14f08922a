"""The audit log (审计日志): who saw or changed what, in a hash chain that cannot be edited unnoticed.

网络安全法 asks for logs of at least six months, 个人信息保护法 Art 51 for a record of access to personal data. Each
entry's hash covers the entry and the hash before it; changing, removing or reordering one breaks every later
hash, and `verify` names the first that does not fit. The chain's head is one row, locked while an entry is added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from bot.storage import Base, EncryptedJson, UtcDateTime


class AuditEntry(Base):
    """One act of a person or of the system on `subject` ("case:JL-…", "conversation:…", "staff:…")."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80), index=True)
    detail: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson("audit_log.detail"))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The end of the chain; one row with id 1."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))
