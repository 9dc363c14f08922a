"""Reads sample files: messages (TSV), facets (TSV, known by its header) and dialogues (YAML)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

MESSAGES = ("id", "set", "kind", "measures", "style", "text")
FACETS = ("id", "measure", "facet", "question", "must_contain", "must_not_contain")
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\x([0-9a-fA-F]{2})")

Measures = tuple[frozenset[int], ...]
"""Alternatives, each a set of measures that is right by itself; empty: no measure is meant."""


class EvaluationError(Exception):
    """The evaluation cannot be carried out; the text says why and where."""


class FormatError(EvaluationError):
    """A file is not in the format of `shared/eval/README.md`."""


@dataclass(frozen=True)
class Question:
    """One user message and what is expected of its reply. Fields that a file type lacks are empty."""

    id: str
    text: str
    kind: str = ""
    measures: Measures = ()
    must: tuple[tuple[str, ...], ...] = ()  # every group must occur, by any of its alternatives
    must_not: tuple[str, ...] = ()
    broad: bool = False  # "we are X, what can we get": extra general measures are no mistake
    ends_intake: bool = True  # of a confirmation: no further question of the same intake follows
    slices: dict[str, str] = field(default_factory=dict)  # dimension (set, style, facet …) → value
    note: str = ""


@dataclass(frozen=True)
class SampleFile:
    """A file read. `threads` are conversations, each a list of questions put one after the other."""

    path: Path
    type: str  # messages | facets | dialogues
    threads: tuple[tuple[Question, ...], ...]

    @property
    def stem(self) -> str:
        """File name without suffix; the key in the file of floors."""
        return self.path.stem


def read(path: Path) -> SampleFile:
    """Read one file; `FormatError` says what is wrong and in which line or turn."""
    try:
        # Only \n ends a row: an injection row may hold any other separator that Unicode knows.
        content = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    if path.suffix in (".yml", ".yaml"):
        return SampleFile(path, "dialogues", tuple(_dialogues(path, content)))
    lines = content.split("\n")
    header = tuple(lines[0].rstrip("\r").split("\t"))
    rows = [(n, line.rstrip("\r")) for n, line in enumerate(lines[1:], 2) if line.strip()]
    if header == MESSAGES:
        return SampleFile(path, "messages", tuple((_message(path, n, line),) for n, line in rows))
    if header == FACETS:
        return SampleFile(path, "facets", tuple((_facet(path, n, line),) for n, line in rows))
    raise FormatError(f"{path}: the first line is neither {' '.join(MESSAGES)} nor {' '.join(FACETS)}")


def unescape(text: str) -> str:
    r"""Turn `\uXXXX`, `\UXXXXXXXX` and `\xXX` into characters; surrogate pairs join, lone ones stay."""

    def character(match: re.Match[str]) -> str:
        code = int(next(group for group in match.groups() if group), 16)
        return chr(code) if code <= 0x10FFFF else match.group()

    halves = ESCAPE.sub(character, text).encode("utf-16-le", "surrogatepass")
    return halves.decode("utf-16-le", "surrogatepass")


def parse_measures(value: str) -> Measures:
    """`4,5` needs both, `5|4` either; `ValueError` for anything that is no measure number."""
    parts = value.split("|") if value.strip() else []
    found = tuple(frozenset(int(n) for n in part.split(",")) for part in parts)
    if any(not 1 <= number <= 16 for part in found for number in part):
        raise ValueError(f"{value!r} names no measure from 1 to 16")
    return found


def _cells(path: Path, number: int, line: str, columns: tuple[str, ...]) -> list[str]:
    cells = line.split("\t", len(columns) - 1)
    if columns is FACETS and len(cells) == len(columns) - 1:
        cells.append("")  # editors cut trailing tabs
    if len(cells) != len(columns):
        raise FormatError(f"{path}, line {number}: {len(cells)} columns instead of {len(columns)}")
    return cells


def _message(path: Path, number: int, line: str) -> Question:
    identity, group, kind, measures, style, text = _cells(path, number, line, MESSAGES)
    try:
        wanted = parse_measures(measures)
    except ValueError as error:
        raise FormatError(f"{path}, line {number}: {error}") from error
    if kind in ("policy", "policy_facet") and not wanted:
        raise FormatError(f"{path}, line {number}: a {kind} row names no measure")
    return Question(
        id=identity,
        text=unescape(text) if style == "injection" else text,
        kind=kind,
        measures=wanted,
        broad=style == "broad",
        slices={"set": group, "style": style},
    )


def _facet(path: Path, number: int, line: str) -> Question:
    identity, measure, facet, text, must, must_not = _cells(path, number, line, FACETS)
    try:
        wanted = parse_measures(measure)
    except ValueError as error:
        raise FormatError(f"{path}, line {number}: {error}") from error
    groups = tuple(_phrases(group) for group in must.split("&&") if _phrases(group))
    if not groups:
        raise FormatError(f"{path}, line {number}: must_contain is empty")
    unwanted = _phrases(must_not.replace("&&", "|"))
    slices = {"facet": facet}
    return Question(identity, text, measures=wanted, must=groups, must_not=unwanted, slices=slices)


def _phrases(group: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in group.split("|") if phrase.strip())


# An intake goes on after a confirmation when one of these follows before anything new is begun.
GOES_ON = {"slot", "correct", "deny", "confirm"}


def _dialogues(path: Path, content: str) -> list[tuple[Question, ...]]:
    try:
        listed = yaml.safe_load(content)["dialogues"]
        return [_dialogue(entry) for entry in listed]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{path}: {type(error).__name__}: {error}") from error


def _dialogue(entry: dict[str, Any]) -> tuple[Question, ...]:
    tags = [str(tag) for tag in entry.get("tags") or []]
    expected = [turn["expect"] for turn in entry["turns"]]
    following = [str(e["kind"]) for e in expected[1:]] + [""]
    return tuple(
        Question(
            id=f"{entry['id']}.{number}",
            text=str(turn["user"]),
            kind=str(expect["kind"]),
            measures=parse_measures(",".join(str(m) for m in expect.get("measures") or [])),
            broad="broad" in tags,
            ends_intake=after not in GOES_ON,
            slices={"dialogue": str(entry["id"])},
            note=str(expect.get("note") or ""),
        )
        for number, turn, expect, after in zip(count(1), entry["turns"], expected, following, strict=False)
    )
