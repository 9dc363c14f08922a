"""A first proposal where a case goes (派单建议). A person confirms it; no citizen sees it as a decision."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.cases.models import CaseType

ROUTES = Path(__file__).with_name("routing.yml")

Mark = Literal["A", "B", "B+", "C", "M"]


class RoutingError(Exception):
    """`routing.yml` is wrong; the message says where."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Model):
    """Words and the department they point to."""

    key: str
    words: tuple[str, ...] = Field(min_length=1)
    unless: tuple[str, ...] = ()
    expects: CaseType | None
    department: str = Field(min_length=2, max_length=64)
    also: tuple[str, ...] = ()
    caution: str | None
    mark: Mark

    def found(self, text: str) -> list[str]:
        """The rule's words in `text`, without those inside a longer one; empty if it is switched off."""
        if any(word in text for word in self.unless):
            return []
        words = [word for word in self.words if word in text]
        return [word for word in words if not any(word != other and word in other for other in words)]


class Default(_Model):
    """Where a case goes when no word speaks for a department."""

    department: str = Field(min_length=2, max_length=64)
    mark: Mark


class Table(_Model):
    """The whole of `routing.yml`."""

    names_verified: bool
    defaults: dict[CaseType, Default]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Route:
    """A proposal: main department (主办), why, copies (抄送), and what staff should know.

    `expected_type` is the type such a matter usually is, `verified` whether the department's name was
    checked. `reason` and `caution` are for staff.
    """

    department: str
    reason: str
    also: tuple[str, ...] = ()
    caution: str | None = None
    rule: str | None = None
    expected_type: CaseType | None = None
    mark: str = "M"
    verified: bool = False


def load_table(path: Path = ROUTES) -> Table:
    """The routing table of `path`. Raises `RoutingError` if it is wrong or a type has no default."""
    try:
        table = Table.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise RoutingError(f"{path.name}: {error}") from error
    if missing := set(CaseType) - set(table.defaults):
        raise RoutingError(f"{path.name}: no default for {sorted(type.value for type in missing)}")
    keys = [rule.key for rule in table.rules]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise RoutingError(f"{path.name}: {twice} stand twice")
    return table


@lru_cache
def table() -> Table:
    """The table in force."""
    return load_table()


def propose(type: CaseType, text: str) -> Route:
    """The department for a case of `type` whose facts are `text`; the type's default if no word is found."""
    routes = table()
    text = unicodedata.normalize("NFKC", text)
    hits = [(rule, words) for rule in routes.rules if (words := rule.found(text))]
    if not hits:
        default = routes.defaults[type]
        return Route(
            default.department,
            "没有命中关键词，按类型默认",
            mark=default.mark,
            verified=routes.names_verified,
        )
    hits.sort(key=lambda hit: -sum(map(len, hit[1])))
    best, words = hits[0]
    others = [*best.also, *(rule.department for rule, _ in hits[1:])]
    also = tuple(dict.fromkeys(name for name in others if name != best.department))
    reason = "命中：" + "、".join(words)
    return Route(
        best.department,
        reason,
        also,
        best.caution,
        best.key,
        best.expects,
        best.mark,
        routes.names_verified,
    )
