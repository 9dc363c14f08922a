"""Training examples as the models see them, read from Rasa's training data or from the files themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FACETS = (
    "what", "who", "how", "where", "time", "validity", "cost", "conditions", "limits",
    "contact", "link", "materials", "amount", "count",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One sentence with its marks."""

    text: str
    act: str
    measures: tuple[int, ...] = ()
    facet: str = "what"
    given: bool = True
    topic: str = ""
    ambiguous: bool = False
    source: str = ""


def from_marks(text: str, intent: str, marks: dict[str, Any], source: str = "") -> Example:
    """An example from an intent and the block's metadata; raises ValueError for a wrong mark."""
    facet = str(marks.get("facet", "what"))
    if intent in ("policy", "followup") and facet not in FACETS:
        raise ValueError(f"{source}: facet “{facet}” of “{text}” is not known")
    measures = tuple(int(n) for n in marks.get("measures", ()))
    if any(not 1 <= n <= 16 for n in measures) or (intent == "policy" and not measures):
        raise ValueError(f"{source}: measures {measures} of “{text}”")
    return Example(
        text=text,
        act=intent,
        measures=measures,
        facet=facet,
        given=bool(marks.get("specified", True)),
        topic=str(marks.get("topic", marks.get("correct", ""))),
        ambiguous=bool(marks.get("ambiguous", False)),
        source=source,
    )


def read(folder: Path) -> Iterator[Example]:
    """All examples of `nlu_data/`, in the order of the files."""
    for path in sorted(folder.rglob("*.yml")):
        data = yaml.safe_load(path.read_text("utf-8")) or {}
        for block in data.get("nlu", ()):
            if "intent" not in block:
                continue
            for line in block["examples"].splitlines():
                if line.startswith("- "):
                    yield from_marks(
                        line[2:].strip(), block["intent"], block.get("metadata") or {}, path.name
                    )


def distinct(examples: Iterable[Example]) -> list[Example]:
    """`examples` without repeated texts; the first one stays."""
    return list({e.text: e for e in reversed(list(examples))}.values())[::-1]
