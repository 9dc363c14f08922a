"""The typed form of `walk.yml` (questions, words and needs of the walk, 逐步对照) and its loader.

`load_guide(folder, pack)` refuses, with a `PackError` naming the place, a quote that is not in its clause, a
condition that the measure does not have, and a fact without words or without plain words in `fits`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.policy.pack import DEFAULT_PACK, PACKS, Pack, PackError, load

_TERM = re.compile(r"(?<!\?)<(\w+)>")  # <make>, but not (?P<make>…
MAX_CHOICES = 6  # With the one that skips; more are not read on a phone.


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Strict):
    """A button: its label, the facts that it settles, the words by which it is recognised when typed."""

    label: str
    set: dict[str, bool]
    words: tuple[str, ...] = ()


class Step(_Strict):
    """One question: asked when any fact of `when` holds (none: always) and none of `settled_by` is known."""

    id: str
    ask: str
    choices: tuple[Choice, ...] = Field(min_length=1, max_length=MAX_CHOICES - 1)
    when: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()
    ask_known: dict[str, str] = {}

    def facts(self) -> set[str]:
        """All fact ids that the question speaks of."""
        return {*self.when, *self.settled_by, *self.ask_known, *(f for c in self.choices for f in c.set)}


class Words(_Strict):
    """Regular expressions that tell a fact (`when`) or its contrary (`unless`, which wins)."""

    when: tuple[str, ...] = Field(min_length=1)
    unless: tuple[str, ...] = ()


class Benefit(_Strict):
    """One benefit of a clause: who it is for (`needs`, a|b is either) and its conditions with their facts."""

    say: str
    quote: str
    needs: tuple[str, ...] = Field(min_length=1)
    conditions: dict[str, str | None]
    also: tuple[str, ...] = ()

    def facts(self) -> set[str]:
        """All fact ids that the benefit speaks of."""
        named = [*self.needs, *self.also, *(c for c in self.conditions.values() if c)]
        return {fact for group in named for fact in group.split("|")}


class Need(_Strict):
    """The benefits of one measure; `near`: why it is not for a firm with that fact."""

    benefits: tuple[Benefit, ...] = Field(min_length=1)
    near: dict[str, str] = {}


class Guide(_Strict):
    """All of `walk.yml`."""

    max_questions: int = Field(ge=3)
    skip: str
    skip_words: tuple[str, ...]
    stop_words: tuple[str, ...]
    terms: dict[str, str]
    trades: tuple[str, ...]
    silent: tuple[str, ...]
    general: tuple[int, ...]
    questions: tuple[Step, ...] = Field(min_length=1)
    words: dict[str, Words]
    measures: dict[int, Need]

    def step(self, id: str) -> Step:
        """The question of this id; raises `PackError` when there is none."""
        for step in self.questions:
            if step.id == id:
                return step
        raise PackError(f"the walk has no question “{id}”")

    def says(self, text: str, expressions: Iterable[str]) -> bool:
        """Whether any of the expressions stands in `text` (normalised); `<name>` is a term."""
        return any(
            _compiled(expression, tuple(self.terms.items())).search(text) for expression in expressions
        )

    def recognise(self, text: str) -> dict[str, bool]:
        """The facts told in `text` (normalised); what is not told is left out."""
        found: dict[str, bool] = {}
        for fact, words in self.words.items():
            if self.says(text, words.unless):
                found[fact] = False
            elif self.says(text, words.when):
                found[fact] = True
        return found


@lru_cache(maxsize=2048)
def _compiled(expression: str, terms: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    for name, pattern in terms:
        expression = expression.replace(f"<{name}>", pattern)
    return re.compile(expression)


def _expressions(guide: Guide) -> Iterable[tuple[str, str]]:
    for name in ("skip_words", "stop_words"):
        yield from ((name, e) for e in getattr(guide, name))
    for fact, words in guide.words.items():
        yield from ((fact, e) for e in (*words.when, *words.unless))
    for step in guide.questions:
        yield from ((step.id, e) for c in step.choices for e in c.words)


def _check_questions(path: Path, guide: Guide) -> None:
    for place, expression in _expressions(guide):
        try:
            _compiled(expression, tuple(guide.terms.items()))
        except re.error as error:
            raise PackError(f"{path}: {place}: “{expression}”: {error}") from error
        unknown = _TERM.search(expression)
        if unknown and unknown[1] not in guide.terms:
            raise PackError(f"{path}: {place}: no term <{unknown[1]}>")
    known = set(guide.words)
    named: Mapping[str, set[str]] = {
        "trades": set(guide.trades),
        "silent": set(guide.silent),
        **{
            s.id: {*s.when, *s.settled_by, *s.ask_known, *(f for c in s.choices for f in c.set)}
            for s in guide.questions
        },
    }
    for place, facts in named.items():
        if strange := facts - known:
            raise PackError(f"{path}: {place}: facts without words: {', '.join(sorted(strange))}")


def _check_measures(path: Path, guide: Guide, pack: Pack) -> None:
    if set(guide.measures) != set(pack.measures):
        raise PackError(f"{path}: measures differ from the pack's")
    if strange := set(guide.general) - set(pack.measures):
        raise PackError(f"{path}: general: no measure {min(strange)}")
    for number, need in guide.measures.items():
        measure = pack.measure(number)
        plain = {fit.fact for fit in measure.fits}
        for fact in need.near:
            if fact not in guide.words:
                raise PackError(f"{path}: measure {number}: near: no words for “{fact}”")
        for benefit in need.benefits:
            if benefit.quote not in measure.text:
                raise PackError(f"{path}: measure {number}: “{benefit.quote}” is not in the clause")
            if missing := [c for c in benefit.conditions if c not in measure.conditions]:
                raise PackError(f"{path}: measure {number}: no condition “{missing[0]}”")
            if wordless := benefit.facts() - plain:
                raise PackError(
                    f"{path}: measure {number}: facts not in its fits: {', '.join(sorted(wordless))}"
                )
            if deaf := benefit.facts() - set(guide.words):
                raise PackError(f"{path}: measure {number}: facts without words: {', '.join(sorted(deaf))}")


def read_guide(path: Path, pack: Pack) -> Guide:
    """Read and check one file; raises `PackError` at the first contradiction."""
    try:
        guide = Guide.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise PackError(f"{path}: {error}") from error
    _check_questions(path, guide)
    _check_measures(path, guide, pack)
    return guide


@lru_cache
def _stored(folder: Path) -> Guide:
    return read_guide(folder / "walk.yml", load(folder))


def load_guide(folder: Path = PACKS / DEFAULT_PACK) -> Guide:
    """The guide of the pack in `folder`, read once."""
    return _stored(folder)
