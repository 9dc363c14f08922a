"""docs/reliability.md cannot lie: its table has every cell, each of them green, in the words of the tests."""

from __future__ import annotations

import ast
import re

import pytest

from bot.settings import ROOT
from tests.reliability import table
from tests.reliability.cells import COLUMNS, ROWS, Cell, cell

DOCUMENT = table.DOCUMENT.read_text("utf-8")
SHOWN = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ONE = Cell("engine hung", "citizen", "is told so", "tests/reliability/test_x.py::test_y")


def test_every_cell_has_a_test() -> None:
    places = {found.place for found in table.cells()}
    assert places == {(row, column) for row in ROWS for column in COLUMNS}


def test_the_table_is_what_the_tests_promise_and_all_of_it_is_green() -> None:
    known = table.cells()
    green = table.render(known, table.Run({found.test: "passed" for found in known}))
    assert table.table_of(DOCUMENT) == green, "run the outages, then python -m tests.reliability.table"
    assert "✗" not in green


def test_each_promise_is_shown_by_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+)\. .*$", DOCUMENT, re.M)
    assert rows == [str(number) for number in range(1, 11)]
    for line in re.findall(r"^\| \d+\. .*$", DOCUMENT, re.M):
        assert SHOWN.search(line), line
    for path, name in SHOWN.findall(DOCUMENT):
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        functions = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        assert name in [function.name for function in functions], f"{path}::{name}"


@pytest.mark.parametrize("outcome", ["failed", "skipped", ""])
def test_what_did_not_pass_is_red(outcome: str) -> None:
    run = table.Run({ONE.test: outcome} if outcome else {})
    line = next(line for line in table.render([ONE], run).splitlines() if "engine hung" in line)
    assert line.count("✗") == len(COLUMNS)  # this cell, and the three without a test
    assert "✓" not in line


def test_a_run_that_shows_otherwise_is_noticed() -> None:
    def document(outcome: str) -> str:
        return f"{table.BEGIN}\n{table.render([ONE], table.Run({ONE.test: outcome}))}\n{table.END}"

    passed, failed = table.Run({ONE.test: "passed"}), table.Run({ONE.test: "failed"})
    assert table.differences(document("passed"), passed, [ONE]) == []
    assert "this run failed" in table.differences(document("passed"), failed, [ONE])[0]
    assert "this run passed" in table.differences(document("failed"), passed, [ONE])[0]
    other = Cell(ONE.row, ONE.column, "is told something else", ONE.test)
    assert table.differences(document("passed"), passed, [other])
    assert "in no cell" in table.differences(document("passed"), table.Run({"a::b": "passed"}), [ONE])[0]


def test_a_run_of_a_part_says_nothing_about_the_rest() -> None:
    assert table.differences(DOCUMENT, table.Run(), [ONE]) == []


def test_the_worst_outcome_of_a_test_counts() -> None:
    run = table.Run()
    for outcome in ("passed", "failed", "passed"):
        run.note(ONE, outcome)
    assert run.outcomes == {ONE.test: "failed"}


def test_results_of_other_cells_are_kept(tmp_path) -> None:
    path = tmp_path / "results.json"
    table.Run({"a": "passed", "b": "failed"}).write(path)
    table.Run({"b": "passed"}).write(path)
    assert table.Run.read(path).outcomes == {"a": "passed", "b": "passed"}


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        table.table_of("# Reliability")


@pytest.mark.parametrize(
    ("row", "column", "promise"),
    [
        ("earthquake", "citizen", "is told so"),
        ("engine hung", "mayor", "is told so"),
        ("engine hung", "citizen", ""),
        ("engine hung", "citizen", "a | b"),
        ("engine hung", "citizen", "Is told so."),
    ],
)
def test_what_is_no_cell_is_refused(row: str, column: str, promise: str) -> None:
    with pytest.raises(ValueError):
        cell(row, column, promise)
