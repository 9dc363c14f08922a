"""One line of the doctor's report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

OK, LOOK, BROKEN = "正常", "注意", "故障"


@dataclass(frozen=True)
class Finding:
    """What was found; unless all is well, also why it matters and what to do."""

    level: str
    about: str
    says: str
    why: str = ""
    do: str = ""


Findings = Iterator[Finding]


def well(about: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(OK, about, says)


def look(about: str, says: str, why: str, do: str) -> Finding:
    """It works, but somebody should look."""
    return Finding(LOOK, about, says, why, do)


def broken(about: str, says: str, why: str, do: str) -> Finding:
    """Citizens or staff are affected, or will be when something else happens."""
    return Finding(BROKEN, about, says, why, do)


def minutes(since: datetime | None, now: datetime) -> int:
    """Whole minutes since a moment; 0 for none."""
    return 0 if since is None else int((now - since).total_seconds() // 60)
