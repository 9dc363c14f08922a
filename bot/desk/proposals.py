"""Proposed training examples (`hotline export reviewed`): labelled reviews as YAML in the format of `nlu_data/`.

Written to a file of its own, never into `nlu_data/`: a person reads it, moves good lines into the right topic file
and trains. A text that still holds personal data is not written and stays labelled.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.conversations.models import Message
from bot.desk import labels
from bot.desk.models import Review
from bot.desk.scrub import known_of, personal, scrub
from bot.engine.text import normalise
from bot.settings import ROOT

NLU_DATA = ROOT / "nlu_data"
HEADER = """\
# Proposed by `hotline export reviewed` on {at}: {count} examples that staff labelled.
# Read each line, move what is right into the topic's file of nlu_data/ and run `make train`; nothing reads this file.
"""


class ExportRefused(Exception):
    """The file cannot be written; the message says why."""


@dataclass(frozen=True)
class Exported:
    """What became of the labelled reviews: ids written, refused with kinds of personal data, known already."""

    path: Path
    written: tuple[int, ...]
    refused: dict[int, list[str]]
    known: tuple[int, ...]


def check_path(path: Path) -> Path:
    """Where proposals may be written; raises `ExportRefused` for `nlu_data/`, `data/` and existing files."""
    resolved = path.resolve()
    for folder in (NLU_DATA, ROOT / "data"):
        if resolved.is_relative_to(folder.resolve()):
            raise ExportRefused(f"{path}: proposals never go into nlu_data; a person moves them there")
    if resolved.exists():
        raise ExportRefused(f"{path} exists already; name another file")
    return resolved


def _taught(folder: Path = NLU_DATA) -> set[str]:
    """Normal forms of all examples that the training data holds."""
    found: set[str] = set()
    for path in folder.rglob("*.yml"):
        for block in (yaml.safe_load(path.read_text("utf-8")) or {}).get("nlu", ()):
            lines = str(block.get("examples", "")).splitlines()
            found.update(normalise(line[2:]) for line in lines if line.startswith("- "))
    return found


def line_of(text: str) -> str:
    """`text` as a line of an example block: Rasa reads brackets as entity marks and a leading / as a command."""
    return text.translate(str.maketrans("[](){}", "（）（）（）")).lstrip("/").strip()


def export(session: Session, path: Path, *, now: datetime) -> Exported:
    """Write the labelled reviews to `path` and mark what was written as exported. The caller commits.

    Raises `ExportRefused`. The file stands before the commit: if that fails, the same reviews are exported again.
    """
    path = check_path(path)
    rows = list(
        session.scalars(
            select(Review).where(Review.state == "labelled").order_by(Review.id).with_for_update()
        )
    )
    conversations = dict(
        session.execute(
            select(Message.id, Message.conversation_id).where(Message.id.in_([r.message_id for r in rows]))
        ).all()
    )
    known_data = known_of(session, conversations.values())
    taught, refused, known = _taught(), {}, []
    blocks: dict[str, list[str]] = defaultdict(list)
    written: list[int] = []
    for review in rows:
        # Names may have been told after the message was gathered.
        told = known_data.get(conversations.get(review.message_id, ""), [])
        text = line_of(scrub(review.text, told))
        if left := personal(text, told):
            refused[review.id] = left
            continue
        review.state = "exported"
        if not text or normalise(text) in taught:
            known.append(review.id)
            continue
        taught.add(normalise(text))
        blocks[_head(review)].append(text)
        written.append(review.id)
    if written:
        _write(path, HEADER.format(at=f"{now:%Y-%m-%d %H:%M}", count=len(written)) + _yaml(blocks.items()))
    session.flush()
    return Exported(path, tuple(written), refused, tuple(known))


def _head(review: Review) -> str:
    label: dict[str, Any] = (review.reading or {}).get("label") or {}
    marks = labels.metadata(
        str(review.act),
        review.measures or [],
        review.facet,
        specified=bool(label.get("specified", True)),
        ambiguous=bool(label.get("ambiguous", False)),
    )
    lines = [f"- intent: {review.act}"]
    if marks:
        # JSON's flow form with bare keys is how the files beside it are written.
        inner = ", ".join(f"{key}: {_flow(value)}" for key, value in marks.items())
        lines.append(f"  metadata: {{{inner}}}")
    return "\n".join(lines)


def _flow(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _yaml(blocks: Iterable[tuple[str, Sequence[str]]]) -> str:
    parts = ['version: "3.1"', "nlu:"]
    for head, lines in sorted(blocks):
        parts += [head, "  examples: |", *(f"    - {line}" for line in lines)]
    return "\n".join(parts) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".proposals-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
        # A link fails where a file appeared meanwhile; a rename would replace it.
        os.link(name, path)
    except FileExistsError as error:
        raise ExportRefused(f"{path} exists already; name another file") from error
    finally:
        os.unlink(name)
