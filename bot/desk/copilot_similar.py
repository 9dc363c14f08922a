"""Closed cases like the one on the phone: what was done then helps to say what can be done now.

Looked for by words in the blind index (`bot.cases.terms`), rare words weighing more; where no word leads anywhere,
the newest of the same type and department. Every step is bounded, so that a million cases cost no more than a
thousand. What is shown holds no personal data; of 举报 and confidential cases only number and outcome are shown
(总局令第20号 Art 33, repealed; the new article is not seen).
"""

from __future__ import annotations

from collections import defaultdict
from math import log
from typing import Any

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from bot.cases.fields import redacted
from bot.cases.models import Case, CaseTerm, CaseType
from bot.cases.terms import query_words, term
from bot.crypto import mask_text
from bot.desk.copilot_words import limit, source

WORDS = 16  # of the caller's, that are looked for
OF_A_WORD = 300  # newest cases that a word may lead to
OPENED = 40  # best candidates that are looked at
LEAST = 0.25  # share of the words' weight that must be common
NEWEST = 2000  # closed cases among which type and department are looked for
SHOWN = 60  # characters of the facts that are shown


def similar(session: Session, type: CaseType, department: str, facts: str) -> list[dict[str, Any]]:
    """The closed cases of `type` most like `facts`, best first; `likeness` from 0 to 1."""
    return _by_words(session, type, facts) or _newest(session, type, department)


def _by_words(session: Session, type: CaseType, facts: str) -> list[dict[str, Any]]:
    words = {term("word", word): word for word in query_words(facts)[:WORDS]}
    if not words:
        return []
    newest = [
        select(
            select(CaseTerm.term, CaseTerm.code)
            .where(CaseTerm.term == value)
            .order_by(CaseTerm.code.desc())
            .limit(OF_A_WORD)
            .subquery()
        )
        for value in words
    ]
    found: dict[int, set[int]] = defaultdict(set)
    for value, code in session.execute(union_all(*newest)):
        found[value].add(code)
    # A word that stands in every second case tells nothing.
    weight = {value: log(1 + OF_A_WORD / (1 + len(found[value]))) for value in words}
    total = sum(weight.values())
    shared: dict[int, set[int]] = defaultdict(set)
    for value, codes in found.items():
        for code in codes:
            shared[code].add(value)
    score = {code: sum(weight[v] for v in values) / total for code, values in shared.items()}
    best = sorted((c for c in score if score[c] >= LEAST), key=lambda c: (-score[c], -c))[:OPENED]
    closed = select(Case).where(
        Case.sms_code.in_([f"{code:012d}" for code in best]),
        Case.type == type.value,
        Case.closed_at.is_not(None),
        Case.erased_at.is_(None),
    )
    cases = sorted(session.scalars(closed), key=lambda case: (-score[int(case.sms_code)], case.sms_code))
    return [
        _shown(
            case,
            score[int(case.sms_code)],
            f"都说到：{'、'.join(words[value] for value in words if value in shared[int(case.sms_code)])}",
        )
        for case in cases[: limit("similar")]
    ]


def _newest(session: Session, type: CaseType, department: str) -> list[dict[str, Any]]:
    newest = (
        select(Case.number, Case.type, Case.department, Case.closed_at)
        .where(Case.closed_at.is_not(None), Case.erased_at.is_(None))
        .order_by(Case.closed_at.desc())
        .limit(NEWEST)
        .subquery()
    )
    chosen = (
        select(newest.c.number)
        .where(newest.c.type == type.value, newest.c.department == department)
        .order_by(newest.c.closed_at.desc())
        .limit(limit("similar"))
    )
    cases = session.scalars(select(Case).where(Case.number.in_(chosen)).order_by(Case.closed_at.desc()))
    return [_shown(case, None, "同类同部门最近办结的") for case in cases]


def _shown(case: Case, likeness: float | None, reason: str) -> dict[str, Any]:
    secret = case.confidential or case.type == CaseType.REPORT.value
    known = {name: value for name, value in case.fields.items() if isinstance(value, str)}
    facts = redacted(mask_text(known.get("facts", "")), known)
    for name, mark in (("company", "某单位"), ("respondent", "某单位"), ("respondent_address", "某地")):
        if len(known.get(name, "")) >= 2:
            facts = facts.replace(known[name], mark)
    return {
        "number": case.number,
        "type": case.type,
        "status": case.status,
        "department": case.department,
        "closed_at": case.closed_at.isoformat(timespec="seconds") if case.closed_at else None,
        "facts": None if secret else facts[:SHOWN],
        "likeness": None if likeness is None else round(likeness, 3),
        "reason": reason,
        "source": source("cases"),
    }
