"""Answers composed from the pack: pure functions, nothing generated.

An answer = headline + the conditions that belong to the benefit + what the notice leaves open + the clause
verbatim with its number + the validity line. `domain.md` 3.5: a benefit without its condition fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.policy.pack import Cell, Measure, Pack

_DIGITS = "零一二三四五六七八九"
MAX_MEASURES = 4  # More clauses than this in one message are not read any more; the rest is named.


@dataclass(frozen=True)
class Citation:
    """One verbatim quotation."""

    document: str
    measure: int
    quote: str


@dataclass(frozen=True)
class Section:
    """The part of an answer that rests on one measure; a client may render it as a card."""

    measure: int
    title: str
    say: str
    conditions: tuple[str, ...]
    note: str
    clause: str
    specified: bool
    facet: str


@dataclass(frozen=True)
class Answer:
    """A composed answer. `specified` is False when the notice does not say what was asked."""

    kind: str
    text: str
    sms: str
    measures: tuple[int, ...] = ()
    facets: tuple[str, ...] = ()
    specified: bool = True
    citations: tuple[Citation, ...] = ()
    validity: str = "unknown"
    sections: tuple[Section, ...] = ()
    next: tuple[str, ...] = field(default=())


def chinese_number(n: int) -> str:
    """`n` from 1 to 99 as it stands before 条: 9 → 九, 16 → 十六."""
    tens, ones = divmod(n, 10)
    head = "" if tens == 0 else ("十" if tens == 1 else _DIGITS[tens] + "十")
    return head + (_DIGITS[ones] if ones else "")


def clause_name(measure: Measure) -> str:
    """第九条."""
    return f"第{chinese_number(measure.number)}条"


def _silent(pack: Pack, measure: Measure, facet: str) -> Cell:
    """The notice answers the facet in general, but not what was asked: say so, then what it does say."""
    given = measure.facets[facet]
    general = given if given.specified else measure.facets["what"]
    return Cell(
        say=f"{pack.notice.facets[facet].silent}{clause_name(measure)}写的是：{general.say}",
        quotes=general.quotes,
        conditions=general.conditions,
        note=general.note,
        specified=False,
    )


def section(
    pack: Pack, number: int, facet: str = "what", *, specified: bool = True, text: str = ""
) -> Section:
    """The part of an answer about one measure.

    `text` is the question, normalised: a point whose words stand in it wins over the facet.
    `specified=False` says that the question is finer than what the clause gives.
    """
    measure = pack.measure(number)
    point = measure.point(text) if text else None
    cell: Cell
    if point is not None:
        cell, facet = point, point.facet
    else:
        cell = measure.facets[facet]
        if cell.specified and not specified:
            cell = _silent(pack, measure, facet)
    return Section(
        measure=number,
        title=measure.short,
        say=cell.say,
        conditions=tuple(measure.conditions[c].plain for c in cell.conditions),
        note=cell.note,
        clause=measure.text,
        specified=cell.specified,
        facet=facet,
    )


def _body(part: Section) -> list[str]:
    lines = [part.say]
    lines += [f"{i}. {c}；" for i, c in enumerate(part.conditions[:-1], 1)]
    if part.conditions:
        lines.append(f"{len(part.conditions)}. {part.conditions[-1]}。")
    if part.note:
        lines.append(part.note)
    return lines


def policy(
    pack: Pack,
    measures: Sequence[int],
    facet: str = "what",
    *,
    specified: bool = True,
    text: str = "",
) -> Answer:
    """The answer to a question that `measures` (1 to 16, at least one) are about.

    Raises `PackError` for a measure that the notice does not have, `ValueError` for none.
    """
    if not measures:
        raise ValueError("a policy answer needs a measure")
    shown = list(dict.fromkeys(measures))
    parts = [section(pack, n, facet, specified=specified, text=text) for n in shown]
    lines: list[str] = []
    document = pack.notice.number
    if len(parts) == 1:
        lines += _body(parts[0])
        lines.append(f"{clause_name(pack.measure(shown[0]))}原文：「{parts[0].clause}」——{document}")
    else:
        lines.append(f"{'两' if len(parts) == 2 else chinese_number(len(parts))}件事分开说。")
        for part in parts[:MAX_MEASURES]:
            name = clause_name(pack.measure(part.measure))
            head, *rest = _body(part)
            lines.append(f"【{part.title}】（{name}）{head}")
            lines += rest
            lines.append(f"{name}原文：「{part.clause}」——{document}")
        if rest_parts := parts[MAX_MEASURES:]:
            names = "、".join(f"{p.title}（第{chinese_number(p.measure)}条）" for p in rest_parts)
            lines.append(f"还有相关的：{names}。想看哪一条请告诉我。")
    lines.append(f"※{pack.notice.validity.sentence}")
    first = pack.measure(shown[0])
    return Answer(
        kind="policy",
        text="\n".join(lines),
        sms=sms(pack, parts),
        measures=tuple(shown),
        facets=tuple(dict.fromkeys(p.facet for p in parts)),
        specified=all(p.specified for p in parts),
        citations=tuple(Citation(document, p.measure, p.clause) for p in parts[:MAX_MEASURES]),
        validity=pack.notice.validity.state,
        sections=tuple(parts),
        next=first.next[:2] if len(parts) == 1 else (),
    )


def sms(pack: Pack, parts: Sequence[Section]) -> str:
    """The short form: one idea a measure, the clause's number named, the short validity line."""
    bodies = []
    for part in parts[:2]:
        measure = pack.measure(part.measure)
        # A short form never drops the conditions: `measure.sms` carries them.
        bodies.append(f"第{part.measure}条：{part.say if not part.specified else ''}{measure.sms}")
    return "；".join(bodies) + f"※{pack.notice.validity.sms[pack.notice.validity.state]}"


def _names(pack: Pack) -> str:
    """All measures by number and short name, for a channel without room for their titles."""
    # 15 and 12315热线 must not read as one number.
    named = (f"{n}{' ' if m.short[0].isdigit() else ''}{m.short}" for n, m in sorted(pack.measures.items()))
    return "；".join(named) + "。"


def about(pack: Pack, topic: str) -> Answer:
    """An answer about the document itself; `topic` is a key of `notice.about`, unknown ones mean `topic`."""
    notice = pack.notice
    entry = notice.about.get(topic) or notice.about["topic"]
    lines = [entry.say]
    if topic == "list":
        lines += [f"{m.number}. {m.title}" for _, m in sorted(pack.measures.items())]
        lines.append("想了解哪一条，直接说序号或者用自己的话问就行。")
    lines += [f"原文：「{quote}」——{notice.number}" for quote in entry.quotes]
    lines.append(f"※{notice.validity.sentence}")
    return Answer(
        kind="notice",
        text="\n".join(lines),
        sms=f"{entry.say}{_names(pack) if topic == 'list' else ''}※{notice.validity.sms[notice.validity.state]}",
        facets=(topic,),
        specified=entry.specified,
        citations=tuple(Citation(notice.number, 0, quote) for quote in entry.quotes),
        validity=notice.validity.state,
    )
