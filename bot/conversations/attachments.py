"""Pictures and PDFs that a citizen gives for a case (附件): checked by content, sealed, outside the web root.

A citizen can give and never fetch; staff read with `read`. One file under `HOTLINE_HOME/attachments` each, named
by a random id and sealed with the data key, so that a copied folder tells nothing (个人信息保护法 Art 51).
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import puremagic
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.cases.drafts import current_draft
from bot.cases.models import Case
from bot.conversations import log
from bot.conversations.models import Attachment, Conversation, Message
from bot.crypto import data_key
from bot.errors import HotlineError, Problem
from bot.settings import Settings
from bot.storage import StorageError

ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "application/pdf": ".pdf"}
OTHER_ENDINGS = {".jpeg": "image/jpeg"}
MAX_NAME = 80


@dataclass(frozen=True)
class Upload:
    """What arrived: `name` as the sender calls it, `key` the id that makes a second delivery harmless."""

    key: str
    name: str
    data: bytes


def media_type(data: bytes) -> str:
    """The type of a file by its content. Raises UNSUPPORTED (415) for anything but JPEG, PNG, WebP and PDF."""
    try:
        found = puremagic.from_string(data[:4096] + data[-1024:], mime=True)
    except (puremagic.PureError, ValueError):
        found = ""
    if found not in ENDINGS or not _complete(found, data):
        raise HotlineError(Problem.UNSUPPORTED)
    return str(found)


def _complete(kind: str, data: bytes) -> bool:
    """Whether the file begins and ends as its format says: no half of a picture, nothing else behind its mark."""
    if kind == "image/jpeg":
        return data.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in data[-512:]
    if kind == "image/png":
        return data.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR") and b"IEND" in data[-64:]
    if kind == "image/webp":
        return data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 <= len(data)
    return data.startswith(b"%PDF-") and b"%%EOF" in data[-2048:]


def safe_name(name: str, kind: str) -> str:
    """The name without path, control and bidi characters, at most `MAX_NAME` long, with the ending of its type."""
    name = (
        unicodedata.normalize("NFC", name.encode("utf-8", "ignore").decode())
        .replace("\\", "/")
        .rsplit("/", 1)[-1]
    )
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C")
    stem, dot, ending = name.rpartition(".")
    known = f".{ending.lower()}" if dot else ""
    if OTHER_ENDINGS.get(known, "") == kind or known == ENDINGS[kind]:
        name, known = stem, f".{ending}"
    else:
        known = ENDINGS[kind]
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .")[: MAX_NAME - len(known)]
    return (name or "附件") + known


def _folder(config: Settings) -> Path:
    folder = config.home_dir / "attachments"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sealed_as(attachment_id: str) -> str:
    return f"attachments.file/{attachment_id}"


def as_json(attachment: Attachment) -> dict[str, Any]:
    """What the log tells of it."""
    return {
        "id": attachment.id,
        "name": attachment.name,
        "type": attachment.media_type,
        "size": attachment.size,
    }


def keep(
    session: Session, conversation: Conversation, upload: Upload, *, config: Settings, now: datetime
) -> tuple[dict[str, Any], Message, Path | None]:
    """Store a file and its line in the log: (its JSON, the message, the new file or None if it came before).

    The caller commits, and removes the file if that fails. Raises UNSUPPORTED (415), FILE_TOO_LARGE (413),
    TOO_MANY_FILES (422).
    """
    external_id = f"{conversation.id}:{upload.key}"
    session.execute(select(Conversation.id).where(Conversation.id == conversation.id).with_for_update())
    if known := log.find(session, conversation.channel, external_id):
        stored = (known.extra or {}).get("attachments") or []
        if not stored:
            raise HotlineError(Problem.MALFORMED)  # The id belongs to a message of words.
        return stored[0], known, None
    if len(upload.data) > config.attachment_bytes:
        raise HotlineError(Problem.FILE_TOO_LARGE)
    kind = media_type(upload.data)
    given = session.scalar(
        select(func.count()).select_from(Attachment).where(Attachment.conversation_id == conversation.id)
    )
    if (given or 0) >= config.attachments_per_conversation:
        raise HotlineError(Problem.TOO_MANY_FILES)
    attachment = Attachment(
        id=str(uuid.uuid4()),
        conversation_id=conversation.id,
        case_number=_case_of(session, conversation.id),
        name=safe_name(upload.name, kind),
        media_type=kind,
        size=len(upload.data),
        sha256=hashlib.sha256(upload.data).hexdigest(),
        created_at=now,
    )
    path = _folder(config) / attachment.id
    _write(path, data_key().encrypt(upload.data, _sealed_as(attachment.id)))
    try:
        session.add(attachment)
        what = "[图片]" if kind.startswith("image/") else "[文件]"
        said = log.InboundMessage(
            conversation.id,
            conversation.channel,
            external_id,
            f"{what} {attachment.name}",
            extra={"attachments": [as_json(attachment)]},
        )
        message, _ = log.accept(session, said, now)
        # A file is no question: no turn is begun for it.
        message.answered_at = now
        session.flush()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return as_json(attachment), message, path


def _write(path: Path, sealed: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageError(f"The file cannot be written ({error.strerror}); nothing was stored.") from None


def read(session: Session, attachment_id: str, *, config: Settings) -> tuple[Attachment, bytes]:
    """A file for staff. Raises NOT_FOUND, or `bot.crypto.Tampered` if it was changed on the disk."""
    attachment = session.get(Attachment, attachment_id)
    path = _folder(config) / attachment_id
    if attachment is None or not path.exists():
        raise HotlineError(Problem.NOT_FOUND)
    return attachment, data_key().decrypt(path.read_bytes(), _sealed_as(attachment.id))


def join_case(session: Session, conversation_id: str, number: str) -> None:
    """Put the conversation's files that belong to no case yet with a case that was just lodged.

    Twins (投诉 and 举报 of one message) share none: the files go with the first (domain.md 5.1).
    """
    session.execute(
        update(Attachment)
        .where(Attachment.conversation_id == conversation_id, Attachment.case_number.is_(None))
        .values(case_number=number)
    )


def _case_of(session: Session, conversation_id: str) -> str | None:
    # A file that comes after the receipt belongs to the case of the receipt, unless a new intake has begun.
    if current_draft(session, conversation_id):
        return None
    return session.scalar(
        select(Case.number)
        .where(Case.conversation_id == conversation_id)
        .order_by(Case.created_at.desc(), Case.part)
        .limit(1)
    )


def of_conversation(session: Session, conversation_id: str) -> list[Attachment]:
    """A conversation's files, oldest first."""
    return list(
        session.scalars(
            select(Attachment)
            .where(Attachment.conversation_id == conversation_id)
            .order_by(Attachment.created_at, Attachment.id)
        )
    )
