"""Writes the failure matrix of docs/reliability.md from the marks of the tests and the results of their last run.

python -m pytest tests/reliability      # writes var/reliability.json, and fails if the document says otherwise
python -m tests.reliability.table       # writes the table; exit code 1 if a cell is red, missing or was not run
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bot.settings import ROOT
from tests.reliability.cells import COLUMNS, MARK, ROWS, Cell

FOLDER = ROOT / "tests" / "reliability"
DOCUMENT = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "var" / "reliability.json"
BEGIN, END = "<!-- the table: begin -->", "<!-- the table: end -->"
SIGNS = {"passed": "✓", "failed": "✗ failed:", "skipped": "✗ skipped:", "": "✗ not run:"}


@dataclass
class Run:
    """What became of the cells in one run: test id → outcome."""

    outcomes: dict[str, str] = field(default_factory=dict)

    def note(self, cell: Cell, outcome: str) -> None:
        """A part of a test is over; the worst outcome counts."""
        if self.outcomes.get(cell.test, "passed") == "passed":
            self.outcomes[cell.test] = outcome

    def write(self, path: Path) -> None:
        """Keep it beside what earlier runs of other cells left."""
        path.parent.mkdir(parents=True, exist_ok=True)
        known = Run.read(path).outcomes | self.outcomes
        path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")

    @staticmethod
    def read(path: Path) -> Run:
        """The last run; empty if there was none."""
        return Run(json.loads(path.read_text("utf-8"))) if path.exists() else Run()


def cells(folder: Path = FOLDER) -> list[Cell]:
    """The cells of all test modules, in the order of the file names and of the functions."""
    found: list[Cell] = []
    for path in sorted(folder.glob("test_*.py")):
        module = importlib.import_module(f"tests.reliability.{path.stem}")
        for name, thing in vars(module).items():
            marks = [mark for mark in getattr(thing, "pytestmark", []) if mark.name == MARK]
            if name.startswith("test") and marks:
                found.append(Cell(*marks[0].args, test=f"tests/reliability/{path.name}::{name}"))
    return found


def render(known: Iterable[Cell], run: Run) -> str:
    """The table in Markdown. A sign links to its test; what did not pass, or has no test, begins with ✗."""
    places: dict[tuple[str, str], list[str]] = {}
    for cell in known:
        path, name = cell.test.split("::")
        sign = SIGNS.get(run.outcomes.get(cell.test, ""), SIGNS["failed"])
        places.setdefault(cell.place, []).append(f'[{sign}](../{path} "{name}") {cell.promise}')
    lines = [f"| failure | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in ROWS:
        shown = ["<br>".join(places.get((row, column), ["✗ no test"])) for column in COLUMNS]
        lines.append(f"| **{row}** | {' | '.join(shown)} |")
    return "\n".join(lines)


def table_of(document: str) -> str:
    """The table that a document holds. Raises `ValueError` if its two marks are missing."""
    try:
        return document.split(BEGIN, 1)[1].split(END, 1)[0].strip()
    except IndexError:
        raise ValueError(f"the document lacks {BEGIN} or {END}") from None


def differences(document: str, run: Run, known: Iterable[Cell] | None = None) -> list[str]:
    """What the document shows otherwise than a run of some or all cells has shown; empty if nothing."""
    known = cells() if known is None else list(known)
    table = table_of(document)
    found = []
    for cell in (cell for cell in known if cell.test in run.outcomes):
        path, name = cell.test.split("::")
        sign = SIGNS.get(run.outcomes[cell.test], SIGNS["failed"])
        if f'[{sign}](../{path} "{name}") {cell.promise}' not in table:
            found.append(f"{cell.row}, {cell.column}: this run {run.outcomes[cell.test]} {cell.test}")
    found += [f"{test} is in no cell" for test in run.outcomes if test not in {c.test for c in known}]
    return found


def main() -> int:
    """Write the table; the process's exit code."""
    document = DOCUMENT.read_text("utf-8")
    table = render(cells(), Run.read(RESULTS))
    before, after = document.split(BEGIN, 1)[0], document.split(END, 1)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")
    red = table.count("✗")
    print(f"{DOCUMENT.relative_to(ROOT)}: {table.count('✓')} cells passed, {red} red, missing or not run")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
