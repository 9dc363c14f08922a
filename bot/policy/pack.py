"""The typed form of a policy pack and its loader.

`load(folder)` reads `notice.txt`, `notice.yml` and `measures/*.yml` and returns a `Pack`. It raises
`PackError`, naming file and quote, when a quote is not verbatim in its clause, a clause is not verbatim in
the notice, a benefit names a condition that does not exist, or a facet is missing.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PACKS = Path(__file__).parent / "packs"
DEFAULT_PACK = "jilin-2020-26"

# The nine facets of domain.md 3.2, then five that people ask for and the notice hardly ever gives.
FACETS = (
    "what", "who", "how", "where", "time", "validity", "cost", "conditions", "limits",
    "contact", "link", "materials", "amount", "count",
)  # fmt: skip
CORE_FACETS = FACETS[:9]

ValidityState = Literal["unknown", "lapsed", "in_force"]


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    # `re` keeps 512 patterns; a pack has more, and compiling them again took most of an answer's time.
    return re.compile(expression)


class PackError(ValueError):
    """A pack contradicts its own notice; the message says where."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Strict):
    """One condition (前提) of a benefit: verbatim quote and the same in plain words."""

    quote: str
    plain: str


class Cell(_Strict):
    """What a measure says to one facet, or openly that it says nothing (`specified: false`)."""

    say: str = Field(min_length=4)
    quotes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    specified: bool = True
    note: str = ""


class Point(Cell):
    """A finer question than the facets, recognised by words (regular expressions, any of `when`)."""

    id: str
    facet: str
    when: tuple[str, ...] = Field(min_length=1)
    unless: tuple[str, ...] = ()

    def matches(self, text: str) -> bool:
        """Whether `text` (normalised) asks for this point."""
        return any(_compiled(w).search(text) for w in self.when) and not any(
            _compiled(u).search(text) for u in self.unless
        )


class StaffNote(_Strict):
    """A later change known to staff; never presented as part of the notice."""

    text: str
    source: str
    verified_by: str | None = None
    reviewed_on: date | None = None


class Fit(_Strict):
    """One thing that decides whether the measure is for a firm: a fact asked in the walk, and its words."""

    fact: str
    plain: str


class Measure(_Strict):
    """One of the measures (措施)."""

    number: int = Field(ge=1)
    topic: str
    title: str
    short: str
    text: str
    sms: str
    conditions: dict[str, Condition] = {}
    facets: dict[str, Cell]
    points: tuple[Point, ...] = ()
    staff_notes: tuple[StaffNote, ...] = ()
    next: tuple[str, ...] = ()
    fits: tuple[Fit, ...] = ()

    def point(self, text: str) -> Point | None:
        """The first point whose words stand in `text`."""
        return next((p for p in self.points if p.matches(text)), None)


class Validity(_Strict):
    """Whether the notice is still carried out, as reviewed by staff (`unknown` until somebody did)."""

    state: ValidityState = "unknown"
    reviewed_by: str | None = None
    reviewed_on: date | None = None
    quote: str
    sentences: dict[ValidityState, str]
    sms: dict[ValidityState, str]

    @property
    def sentence(self) -> str:
        """The line that closes every policy answer."""
        return self.sentences[self.state]


class FacetName(_Strict):
    """How a facet is called, and the sentence for a notice that is silent on it."""

    name: str
    silent: str


class NoticeAnswer(_Strict):
    """An answer about the document as a whole."""

    say: str
    quotes: tuple[str, ...] = ()
    specified: bool = True


class Notice(_Strict):
    """Facts about the document."""

    id: str
    title: str
    number: str
    dated: date
    issuer: str
    interpreter: str
    validity: Validity
    facets: dict[str, FacetName]
    about: dict[str, NoticeAnswer]


class Pack(_Strict):
    """A notice with its measures."""

    notice: Notice
    text: str
    measures: dict[int, Measure]

    def measure(self, number: int) -> Measure:
        """The measure with this number; raises `PackError` when there is none."""
        try:
            return self.measures[number]
        except KeyError:
            raise PackError(f"{self.notice.number} has no measure {number}") from None


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PackError(f"{path}: {error}") from error


def _check(path: Path, measure: Measure, notice: str) -> None:
    if measure.text not in notice:
        raise PackError(f"{path}: the clause is not verbatim in the notice")
    if missing := [f for f in FACETS if f not in measure.facets]:
        raise PackError(f"{path}: facets missing: {', '.join(missing)}")
    if unknown := [f for f in measure.facets if f not in FACETS]:
        raise PackError(f"{path}: unknown facets: {', '.join(unknown)}")
    for name, condition in measure.conditions.items():
        if condition.quote not in measure.text:
            raise PackError(f"{path}: condition {name}: “{condition.quote}” is not in the clause")
    cells: list[tuple[str, Cell]] = [*measure.facets.items(), *((p.id, p) for p in measure.points)]
    for name, cell in cells:
        for quote in cell.quotes:
            if quote not in measure.text:
                raise PackError(f"{path}: {name}: “{quote}” is not in the clause")
        for condition_id in cell.conditions:
            if condition_id not in measure.conditions:
                raise PackError(f"{path}: {name}: no condition “{condition_id}”")
        if cell.specified and not cell.quotes:
            raise PackError(f"{path}: {name}: says something without a quote")
    for point in measure.points:
        for expression in (*point.when, *point.unless):
            try:
                re.compile(expression)
            except re.error as error:
                raise PackError(f"{path}: {point.id}: “{expression}”: {error}") from error


@lru_cache
def load(folder: Path = PACKS / DEFAULT_PACK) -> Pack:
    """Read and check the pack in `folder`; raises `PackError` at the first contradiction."""
    try:
        text = (folder / "notice.txt").read_text("utf-8")
    except OSError as error:
        raise PackError(f"{folder}: {error}") from error
    try:
        notice = Notice.model_validate(_read(folder / "notice.yml"))
    except ValidationError as error:
        raise PackError(f"{folder / 'notice.yml'}: {error}") from error
    for name, value in (("number", notice.number), ("title", notice.title), ("issuer", notice.issuer)):
        if value not in text:
            raise PackError(f"{folder / 'notice.yml'}: {name} “{value}” is not in the notice")
    if notice.validity.quote not in text:
        raise PackError(f"{folder / 'notice.yml'}: the validity clause is not in the notice")
    for name, about in notice.about.items():
        for quote in about.quotes:
            if quote not in text:
                raise PackError(f"{folder / 'notice.yml'}: about {name}: “{quote}” is not in the notice")
    measures: dict[int, Measure] = {}
    for path in sorted((folder / "measures").glob("*.yml")):
        try:
            measure = Measure.model_validate(_read(path))
        except ValidationError as error:
            raise PackError(f"{path}: {error}") from error
        _check(path, measure, text)
        if measure.number in measures:
            raise PackError(f"{path}: measure {measure.number} stands twice")
        if path.stem != f"{measure.number:02d}_{measure.topic}":
            raise PackError(f"{path}: file name and topic differ")
        measures[measure.number] = measure
    if not measures:
        raise PackError(f"{folder}: no measures")
    return Pack(notice=notice, text=text, measures=measures)
