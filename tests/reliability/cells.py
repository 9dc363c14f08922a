"""The failure matrix: its rows and columns, and the mark by which a test says which cell it is.

A row module performs its outage once, in a fixture of its own, and writes down what everybody saw; each cell is a
test on what was written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

COLUMNS = {
    "citizen": "what the citizen sees",
    "agent": "what the agent sees",
    "stored": "what is stored",
    "recovery": "how it recovers",
}
ROWS = (
    "engine killed",
    "engine hung",
    "gateway killed",
    "desk killed",
    "database locked (SQLite)",
    "PostgreSQL stopped",
    "PostgreSQL restarted",
    "disk full",
    "Redis stopped",
    "SMS gateway down",
    "webhook of a department down",
    "clock jump",
    "model file replaced",
)
MARK = "cell"

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Cell:
    """What one test promises. `test` is `file::function`, relative to the project's root."""

    row: str
    column: str
    promise: str
    test: str

    @property
    def place(self) -> tuple[str, str]:
        """Row and column."""
        return self.row, self.column


def cell(row: str, column: str, promise: str) -> Callable[[Test], Test]:
    """Mark a test as a cell; `promise` is a sentence without its subject and full stop, as the table shows it.

    Raises `ValueError` for a row or column that the matrix does not have.
    """
    if row not in ROWS or column not in COLUMNS:
        raise ValueError(f"the matrix has no cell {row!r}, {column!r}")
    if not promise or any(c in promise for c in "|\n") or promise.endswith("."):
        raise ValueError(f"{promise!r} cannot stand in the table")
    mark = getattr(pytest.mark, MARK)(row, column, promise)

    def marked(test: Test) -> Test:
        return mark(test)  # type: ignore[no-any-return]

    return marked


def cell_of(item: pytest.Item) -> Cell | None:
    """The cell of a collected test; None if it is no cell."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    row, column, promise = mark.args
    path = item.path.relative_to(item.config.rootpath).as_posix()
    return Cell(
        row, column, promise, f"{path}::{item.originalname if hasattr(item, 'originalname') else item.name}"
    )
