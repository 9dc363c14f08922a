"""How the measures fit a firm: facts against what `walk.yml` says that each benefit needs.

A benefit fits when all that it needs is told, may fit while something is open, and does not when something is
contrary. What staff must judge (符合条件, 协商一致 …) stays open and is always said with the benefit. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bot.policy.guide import Benefit, Guide
from bot.policy.pack import Measure, Pack

Status = Literal["fits", "maybe", "no"]
Facts = Mapping[str, bool | None]
RANK: dict[Status, int] = {"fits": 0, "maybe": 1, "no": 2}


@dataclass(frozen=True)
class Offer:
    """One benefit that is still possible, with all conditions of the clause that belong to it.

    `unknown` is what else decides and was not told; `quotes` are verbatim in the clause.
    """

    say: str
    status: Status
    conditions: tuple[str, ...]
    unknown: tuple[str, ...]
    quotes: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """How one measure fits; `satisfied`, `open` and `not_met` are plain sentences, `quotes` verbatim.

    `why` explains a "no" to a firm that may well believe otherwise. `general`: for all trades, not asked for.
    """

    measure: int
    status: Status
    satisfied: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    not_met: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    quotes: tuple[str, ...] = ()
    why: str = ""
    general: bool = False


def _closed(guide: Guide, facts: Facts) -> Facts:
    """A firm that named its trade is not in the trades that it did not name."""
    if not any(facts.get(t) for t in guide.trades):
        return facts
    return {**dict.fromkeys(guide.trades, False), **{k: v for k, v in facts.items() if v is not None}}


def _any(facts: Facts, group: str) -> bool | None:
    known = [facts.get(fact) for fact in group.split("|")]
    return True if True in known else None if None in known else False


def _status(guide: Guide, benefit: Benefit, facts: Facts) -> Status | None:
    """None: nothing that the firm told has to do with the benefit."""
    telling = {f for group in benefit.needs for f in group.split("|")} - set(guide.silent)
    if not any(facts.get(f) for f in telling):
        return None
    needs = [_any(facts, group) for group in benefit.needs]
    linked = [_any(facts, group) for group in (*(c for c in benefit.conditions.values() if c), *benefit.also)]
    if False in needs or False in linked:
        return "no"
    return "maybe" if None in needs else "fits"


def _plain(measure: Measure, facts: Facts, group: str) -> str:
    words = {fit.fact: fit.plain for fit in measure.fits}
    told = [f for f in group.split("|") if facts.get(f)]
    return words[told[0]] if told else "，或者".join(words[f] for f in group.split("|"))


def _points(measure: Measure, benefit: Benefit, facts: Facts) -> dict[str, bool | None]:
    """Everything that decides about a benefit, in plain words, and whether it is so."""
    linked = {fact for group in benefit.conditions.values() if group for fact in group.split("|")}
    # A need that is one of the clause's conditions is said once, as that condition.
    groups = [g for g in benefit.needs if not linked & set(g.split("|"))]
    groups += [g for g in benefit.also if _any(facts, g) is not None]
    said = {measure.conditions[c].plain: _any(facts, g) if g else None for c, g in benefit.conditions.items()}
    return {_plain(measure, facts, g): _any(facts, g) for g in groups} | said


def _offer(measure: Measure, benefit: Benefit, status: Status, facts: Facts) -> Offer:
    conditions = tuple(measure.conditions[c].plain for c in benefit.conditions)
    points = _points(measure, benefit, facts)
    unknown = tuple(p for p, known in points.items() if known is None and p not in conditions)
    quotes = (benefit.quote, *(measure.conditions[c].quote for c in benefit.conditions))
    return Offer(benefit.say, status, conditions, unknown, quotes)


def _weigh(guide: Guide, measure: Measure, told: Facts) -> Fit | None:
    need, facts = guide.measures[measure.number], _closed(guide, told)
    found = [(b, s) for b in need.benefits if (s := _status(guide, b, facts))]
    live = [(b, s) for b, s in found if s != "no"]
    why = "" if live else next((say for fact, say in need.near.items() if told.get(fact)), "")
    if not found and not why:
        return None
    points: dict[str, bool | None] = {}
    for benefit, _ in live or found:
        points |= {p: k for p, k in _points(measure, benefit, facts).items() if points.get(p) is None}
    offers = tuple(_offer(measure, b, s, facts) for b, s in sorted(live, key=lambda pair: RANK[pair[1]]))
    return Fit(
        measure=measure.number,
        status=min((s for _, s in found), key=RANK.__getitem__, default="no"),
        satisfied=tuple(p for p, k in points.items() if k),
        open=tuple(p for p, k in points.items() if k is None),
        not_met=tuple(p for p, k in points.items() if k is False),
        offers=offers,
        quotes=tuple(dict.fromkeys(q for o in offers for q in o.quotes)) or (measure.text,),
        why=why,
    )


def weigh(guide: Guide, facts: Facts, pack: Pack) -> list[Fit]:
    """How the measures fit, best first; measures that nothing was told about are left out.

    The general measures come last with `general=True` unless the firm asked for them.
    """
    weighed = [f for n in sorted(pack.measures) if (f := _weigh(guide, pack.measure(n), facts))]
    weighed.sort(key=lambda f: (RANK[f.status], -len(f.satisfied) if f.status != "no" else 0, f.measure))
    asked_for = {f.measure for f in weighed if f.status != "no"}
    weighed = [f for f in weighed if f.measure in asked_for or f.measure not in guide.general]
    rest = [pack.measure(n) for n in guide.general if n not in asked_for]
    return weighed + [Fit(m.number, "maybe", quotes=(m.text,), general=True) for m in rest]
