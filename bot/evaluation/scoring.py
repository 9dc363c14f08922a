"""The rules of scoring (`shared/eval/README.md`): a question and its outcome become the marks of one row.

A mark stands under the name of its metric and is given only where the row counts for that metric, so that a
share is always true marks over marks. Where the README leaves room, the stricter reading is taken:

- A turn's kind is that of the first reply with an `answer`; the measures are those of all its replies.
- `clarify` is never the right kind of a policy row; a right option among at most three is `assisted`, apart.
- A confirmation (确认) must bring the receipt (回执). Only where the dialogue goes on with the same intake
  right after it (slot, correct, deny or another confirm) is a further question accepted instead.
- A dialogue's policy turn is right only with exactly the measures expected.
- A row without a usable reply is wrong in everything that it is asked for.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from bot.evaluation.asking import Outcome
from bot.evaluation.samples import Measures, Question

GENERAL = frozenset({1, 14, 15, 16})  # measures for every business: no mistake beside a broad question
MOST_OPTIONS = 3
POLICY = {"policy", "policy_facet", "followup"}
INTAKE = frozenset({"intake", "complaint", "report", "suggestion"})

ACCEPTED: dict[str, frozenset[str]] = {
    "policy": frozenset({"policy"}),
    "policy_facet": frozenset({"policy"}),
    "followup": frozenset({"policy"}),
    "meta": frozenset({"notice"}),
    "oos": frozenset({"fallback", "chitchat"}),
    "slot": INTAKE,
    "correct": INTAKE,
    "deny": INTAKE,
    "cancel": INTAKE,
    "confirm": frozenset({"receipt"}),
}
"""Expected kind → kinds of the contract that are right; a kind that is not listed stands for itself."""

# Metrics of which a true mark is a mistake: their floors are ceilings.
MISTAKES = {"false_answer", "false_refusal", "wrongly_denied", "false_alarm", "failed"}
NEUTRAL = {"assisted"}  # told, neither right nor wrong


@dataclass(frozen=True)
class Row:
    """One scored question. `reasons` says in words what was wrong; empty when nothing was."""

    question: Question
    outcome: Outcome
    marks: dict[str, bool]
    reasons: tuple[str, ...] = ()
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Something expected is missing, or a mistake was made."""
        return any(good == (name in MISTAKES) for name, good in self.marks.items() if name not in NEUTRAL)


def accepted_kinds(question: Question, *, dialogue: bool = False) -> frozenset[str]:
    """The contract's kinds that are right for this question."""
    kinds = ACCEPTED.get(question.kind, frozenset({question.kind}))
    if dialogue and question.kind == "confirm" and not question.ends_intake:
        return kinds | INTAKE
    return kinds


def is_right_kind(expected: str, given: str) -> bool:
    """Whether an answer of kind `given` is right where a file expects `expected`."""
    return given in ACCEPTED.get(expected, {expected})


def is_exact(wanted: Measures, got: frozenset[int], *, broad: bool = False) -> bool:
    """`got` is exactly one of the alternatives; a broad question forgives extra general measures."""
    return any(got == one or (broad and one <= got and got - one <= GENERAL) for one in wanted)


def is_hit(wanted: Measures, got: frozenset[int]) -> bool:
    """At least one right measure is named."""
    return any(one & got for one in wanted)


def is_assisted(wanted: Measures, offered: list[frozenset[int]]) -> bool:
    """Asked back with at most three options, a right one among them."""
    return len(offered) <= MOST_OPTIONS and any(is_hit(wanted, option) for option in offered)


def score(type: str, question: Question, outcome: Outcome) -> Row:
    """Score one question of a file of this type (messages, facets or dialogues)."""
    rule = {"messages": _message, "facets": _facet, "dialogues": _turn}[type]
    marks = {"failed": bool(outcome.problem)} | rule(question, outcome)
    named = sorted({measure for one in question.measures for measure in one})
    slices: dict[str, tuple[str, ...]] = {name: (value,) for name, value in question.slices.items() if value}
    if question.kind:
        slices["kind"] = (question.kind,)
    if named:
        slices["measure"] = tuple(str(measure) for measure in named)
    return Row(question, outcome, marks, tuple(_reasons(type, question, outcome, marks)), slices)


def _message(question: Question, outcome: Outcome) -> dict[str, bool]:
    marks = {"kind": not outcome.problem and outcome.kind in accepted_kinds(question)}
    if question.kind in POLICY:
        got = outcome.measures
        marks |= {
            "exact": is_exact(question.measures, got, broad=question.broad),
            "any_hit": is_hit(question.measures, got),
            "assisted": is_assisted(question.measures, outcome.offered),
            "false_refusal": outcome.kind == "fallback",
        }
    if question.kind == "policy_facet":
        marks["unspecified_said"] = outcome.unspecified
    if question.kind == "policy":
        marks["wrongly_denied"] = outcome.unspecified
    if question.kind == "oos":
        marks["false_answer"] = bool(outcome.measures)
    marks["emergency_found" if question.kind == "emergency" else "false_alarm"] = outcome.kind == "emergency"
    return marks


def _facet(question: Question, outcome: Outcome) -> dict[str, bool]:
    text = outcome.text
    holds = all(any(phrase in text for phrase in group) for group in question.must)
    clean = not any(phrase in text for phrase in question.must_not)
    return {"facets": not outcome.problem and holds and clean, "wrongly_denied": outcome.unspecified}


def _turn(question: Question, outcome: Outcome) -> dict[str, bool]:
    kind = not outcome.problem and outcome.kind in accepted_kinds(question, dialogue=True)
    if question.kind not in POLICY or not question.measures:
        return {"turns": kind, "turn_kind": kind}
    exact = is_exact(question.measures, outcome.measures, broad=question.broad)
    return {"turns": kind and exact, "turn_kind": kind, "turn_measures": exact}


def _reasons(type: str, question: Question, outcome: Outcome, marks: dict[str, bool]) -> list[str]:
    said: list[str] = [outcome.problem] if outcome.problem else []
    kind_wrong = marks.get("kind", marks.get("turn_kind")) is False
    if kind_wrong and not outcome.problem:
        kinds = " or ".join(sorted(accepted_kinds(question, dialogue=type == "dialogues")))
        said.append(f"kind {outcome.kind or 'none'} instead of {kinds}")
    inexact = marks.get("exact", marks.get("turn_measures")) is False
    # Of the wrong kind and without a measure: the kind says it all.
    if inexact and (outcome.measures or not kind_wrong):
        said.append(f"measures {show({outcome.measures})} instead of {show(question.measures)}")
    if marks.get("assisted"):
        said.append("right one offered")
    if marks.get("facets") is False and not outcome.problem:
        text = outcome.text
        missing = ["|".join(group) for group in question.must if not any(phrase in text for phrase in group)]
        said += [f"missing: {phrase}" for phrase in missing]
        said += [f"must not say: {phrase}" for phrase in question.must_not if phrase in text]
    sentences = {
        "false_answer": "out of scope, answered with a measure",
        "false_refusal": "policy refused",
        "wrongly_denied": "said not specified, though it is",
        "false_alarm": "false alarm",
    }
    said += [sentence for name, sentence in sentences.items() if marks.get(name)]
    if marks.get("unspecified_said") is False and not outcome.problem:
        said.append("not said that the notice leaves it open")
    return said


def show(measures: Any) -> str:
    """Measures as the files write them: `4,5|9`; `-` for none."""
    return "|".join(",".join(str(m) for m in sorted(one)) for one in measures) or "-"


def visible(text: str, most: int = 0) -> str:
    """The text, cut to `most` characters (0: whole), with controls and lone surrogates as escapes."""
    cut = text if not most or len(text) <= most else text[:most] + "…"
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in cut
    )


def scores_of(outcome: Outcome) -> str:
    """The engine's scores and reasons in one line, where the instance gives a `debug` object."""
    return json.dumps(outcome.debug, ensure_ascii=False, default=str) if outcome.debug else ""
