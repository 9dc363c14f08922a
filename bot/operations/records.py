"""When the deployment was last backed up and its audit chain last verified: small files in the home.

Files, because metrics and the doctor must be able to say "two days ago" also while the database is down.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

BACKUP, AUDIT = "last-backup.json", "last-audit.json"


def note(home: Path, name: str, at: datetime, **facts: Any) -> None:
    """Write down that `name` was done at `at`. A home that cannot be written is no reason to fail what was done."""
    with contextlib.suppress(OSError):
        handle, half = tempfile.mkstemp(dir=home, prefix=f".{name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"at": at.isoformat(), **facts}, file, ensure_ascii=False)
        # The gateway may run as another user of the same group; nothing in it is secret.
        os.chmod(half, 0o644)
        os.replace(half, home / name)


def last(home: Path, name: str) -> dict[str, Any] | None:
    """What was noted last, with `at` as an aware time; None when there is nothing that can be read."""
    try:
        noted = json.loads((home / name).read_text("utf-8"))
        at = datetime.fromisoformat(noted["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if at.tzinfo is None else {**noted, "at": at}
