"""`docs/security.md` names tests that exist, and says of nothing that a test shows it without one."""

import ast
import re

import pytest

from bot.settings import ROOT

HERE = ROOT / "tests" / "security"
DOCUMENT = (ROOT / "docs" / "security.md").read_text("utf-8")
TABLES = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and "could try" not in line]


def functions_of(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def named():
    """(file, test or nothing) of every test that the tables name; a test without a file is the last file's."""
    for line in TABLES:
        path = None
        for name in re.findall(r"`([^`]+)`", line.split("|")[-2]):
            if match := re.fullmatch(r"((?:\.\./)?[\w/]+\.py)(?:::(\w+))?", name):
                path = (HERE / match[1]).resolve()
                yield path, match[2]
            elif name.startswith("test_"):
                yield path, name


NAMED = list(named())


@pytest.mark.parametrize(("path", "test"), NAMED, ids=lambda value: getattr(value, "name", value))
def test_a_test_that_is_named_exists(path, test):
    assert path is not None and path.is_file(), path
    assert test is None or test in functions_of(path), f"{path.name}::{test}"


def test_every_row_has_a_test():
    rows = [line for line in TABLES if line.count("|") == 4 and not line.startswith("| port")]
    assert len(rows) > 30 and len(NAMED) > 50
    for line in rows:
        assert re.search(r"`[^`]*test_\w+", line.split("|")[3]), line


def test_the_rows_that_are_named_are_in_the_table_of_attacks():
    import yaml

    table = yaml.safe_load((HERE / "attacks.yml").read_text("utf-8"))["texts"]
    known = {row["id"] for row in table} | {row["what"] for row in table}
    for names in re.findall(r"\(rows ([^)]*)\)", DOCUMENT):
        assert set(re.findall(r"`([^`]+)`", names)) <= known, names


def test_it_is_short_and_says_what_stays_open():
    assert len(DOCUMENT.splitlines()) < 200
    assert DOCUMENT.split("## What stays open")[1].count("\n- ") >= 5
    for path in re.findall(r"`(tests/[^`:]+)", DOCUMENT):
        assert (ROOT / path).exists(), path
