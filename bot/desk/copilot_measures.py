"""What the copilot shows of the notice: ranked measures, a sentence ready to say, questions worth asking. Pure.

A benefit is never said without its conditions, and what the notice leaves open is said openly (domain.md 3.5):
both come from the same pack as the bot's own answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.desk.copilot_words import limit, pattern, phrases, source, why
from bot.policy import Pack, answers
from bot.policy.fitting import Fit, weigh
from bot.policy.guide import Guide, load_guide

FAINT = 0.1  # A measure under this is not shown, unless the gate chose or offers it.
RIVAL = 0.15  # From here on a second measure is worth telling apart from the first.
CLEAR = 0.5  # Measures at or above were told by the caller; whether they are mixed up is asked below it.

_LEAD = pattern("[，。；][^，。；]*：$")
_SENTENCE = pattern("[^。；]+[。；]?")


@dataclass(frozen=True)
class Heard:
    """What is known of the caller's words: normal form, the engine's reading (empty without engine)."""

    normal: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    withdrawn: Mapping[int, str] = field(default_factory=dict)  # measure → reason
    validity: Mapping[int, str] = field(default_factory=dict)  # measure, or 0 for all → state that staff set

    @property
    def scores(self) -> dict[int, float]:
        """Probability of each measure that the engine named, 0 to 1."""
        return {int(n): float(p) for n, p in (self.reading.get("scores") or {}).items()}

    @property
    def chosen(self) -> list[int]:
        """Measures that the gate answers."""
        return [int(n) for n in self.reading.get("measures") or []]

    @property
    def offered(self) -> list[int]:
        """Measures that the gate would ask back."""
        return [int(n) for n in self.reading.get("options") or []]


def ranked(pack: Pack, heard: Heard) -> list[tuple[int, float | None]]:
    """Measures with their score, best first; the gate's choice stands before what only scores.

    Without the engine: measures that the told facts fit, without a score.
    """
    if not heard.reading:
        return [(fit.measure, None) for fit in _fitting(pack, heard)[: limit("measures")]]
    scores = heard.scores
    rest = [n for n, p in sorted(scores.items(), key=lambda pair: -pair[1]) if p >= FAINT]
    order = dict.fromkeys([*heard.chosen, *heard.offered, *rest])
    named: list[tuple[int, float | None]] = [(n, scores.get(n, 0.0)) for n in order if n in pack.measures]
    return named[: limit("measures")]


def _fitting(pack: Pack, heard: Heard) -> list[Fit]:
    told = load_guide().recognise(heard.normal)
    return [fit for fit in weigh(load_guide(), told, pack) if fit.status != "no" and not fit.general]


def spoken(part: answers.Section, state: str) -> str:
    """A short answer for the phone: conditions with the benefit, what stays open, the validity line."""
    words = phrases()["say"]
    say = part.say.rstrip()
    if part.conditions:
        say = say if say.endswith("：") else f"{say.rstrip('。；')}。{words['leading']}"
        # Counted as people do on the phone; one condition needs no number.
        marks = words["conditions"] if len(part.conditions) > 1 else [""]
        say += "；".join(f"{mark}{said}" for mark, said in zip(marks, part.conditions)) + "。"
    return "".join(filter(None, [say, part.note, phrases()["validity"][state]]))


def shown(pack: Pack, heard: Heard) -> list[dict[str, Any]]:
    """The ranked measures as the API gives them."""
    return [_measure(pack, heard, number, score) for number, score in ranked(pack, heard)]


def _measure(pack: Pack, heard: Heard, number: int, score: float | None) -> dict[str, Any]:
    measure = pack.measure(number)
    asked = str(heard.reading.get("facet") or "what")
    chosen = number in heard.chosen
    part = answers.section(
        pack,
        number,
        asked if asked in measure.facets else "what",
        # The engine judged the detail for the measures that it chose, not for the others.
        specified=bool(heard.reading.get("specified", True)) or not chosen,
        text=heard.normal,
    )
    validity = pack.notice.validity
    state = heard.validity.get(number) or heard.validity.get(0) or validity.state
    stopped = heard.withdrawn.get(number)
    silent = [pack.notice.facets[name].name for name, cell in measure.facets.items() if not cell.specified]
    return {
        "measure": number,
        "clause_name": answers.clause_name(measure),
        "title": measure.title,
        "short": measure.short,
        "score": None if score is None else round(score, 4),
        "chosen": chosen,
        "clause": measure.text,
        "document": pack.notice.number,
        "facet": part.facet,
        "facet_name": pack.notice.facets[part.facet].name,
        "specified": part.specified,
        "conditions": list(part.conditions),
        "open": _left_open(part),
        "silent_on": silent,
        "validity": {"state": state, "line": validity.sentences[state], "source": validity.quote},  # type: ignore[index]
        "withdrawn": stopped,
        "say": phrases()["say"]["withdrawn"] if stopped else spoken(part, state),
        "staff_notes": [
            {"text": n.text, "source": n.source, "verified": n.verified_by is not None}
            for n in measure.staff_notes
        ],
        "reason": _reason(pack, heard, number, score, part.facet),
        "source": source("notice", document=pack.notice.number, clause=answers.clause_name(measure)),
    }


def _left_open(part: answers.Section) -> list[str]:
    """The sentences of the answer that say what the notice does not say."""
    says = pattern(phrases()["left_open"])
    # What leads to the conditions (…而且要同时做到：) belongs to them.
    whole = [_LEAD.sub("。", part.say), part.note] if not part.specified else [part.note, *part.conditions]
    sentences = [sentence for text in whole for sentence in _SENTENCE.findall(text)]
    return [sentence for sentence in sentences if not part.specified or says.search(sentence)]


def _reason(pack: Pack, heard: Heard, number: int, score: float | None, facet: str) -> str:
    asked = f"问的是“{pack.notice.facets[facet].name}”"
    if score is None:
        return f"按说到的情况对照，{asked}"
    if number in heard.chosen:
        return f"{why(str(heard.reading.get('reason', '')))}，{asked}，把握{score:.0%}"
    if number in heard.offered:
        return f"{why(str(heard.reading.get('reason', '')))}，把握{score:.0%}"
    return f"也有点像，把握{score:.0%}"


# -- questions ----------------------------------------------------------------------------------------


def questions(pack: Pack, heard: Heard) -> list[dict[str, Any]]:
    """What is worth asking about the measures: which one is meant, then what decides whether it applies."""
    order = ranked(pack, heard)
    if not order:
        return []
    asked = _tell_apart(heard, order)
    # While it is open which measure is meant, its conditions are not asked about yet.
    if not asked:
        guide = load_guide()
        told = guide.recognise(heard.normal)
        near = heard.chosen or [number for number, score in order[:1] if score is None or score >= CLEAR]
        for number in near[:2]:
            asked += _conditions(pack, guide, told, number)
    unique = {question["text"]: question for question in asked}
    return list(unique.values())[: limit("questions")]


def _tell_apart(heard: Heard, order: list[tuple[int, float | None]]) -> list[dict[str, Any]]:
    running = [n for n, p in order if p is None or p >= RIVAL or n in heard.offered]
    if len(running) < 2 or len(heard.chosen) > 1 or heard.scores.get(running[0], 0.0) >= 0.9:
        return []
    for pair in phrases()["tell_apart"]:
        mixed = [n for n in running if n in pair["measures"]]
        if len(mixed) > 1 and running[0] in mixed and not pattern(pair["settled"]).search(heard.normal):
            names = "、".join(f"第{n}条" for n in mixed)
            return [_question(pair["ask"], f"{names}容易混", "domain 3.5 易混对照", mixed)]
    return []


def _conditions(pack: Pack, guide: Guide, told: Mapping[str, bool], number: int) -> Iterable[dict[str, Any]]:
    """What the walk asks about a measure's benefits, then the conditions that only the firm can confirm."""
    measure = pack.measure(number)
    clause = source("notice", document=pack.notice.number, clause=answers.clause_name(measure))
    needed = {fact for benefit in guide.measures[number].benefits for fact in benefit.facts()}
    unknown = {fact for fact in needed if fact not in told}
    found: list[dict[str, Any]] = []
    for step in guide.questions:
        decides = {fact for choice in step.choices for fact in choice.set} & unknown
        # A question for all trades says nothing about this measure.
        if decides and step.when and not any(fact in told for fact in step.settled_by):
            relevant = any(told.get(fact) or fact in needed for fact in step.when)
            text = next((say for fact, say in step.ask_known.items() if told.get(fact)), step.ask)
            if relevant and len(decides) >= 1 and _own(guide, number, step.when):
                found.append(_question(text, f"决定第{number}条适不适用", clause, [number]))
    decisive = phrases()["decisive"].get(number)
    if not found and decisive and not all(fact in told for fact in decisive["facts"]):
        found = [_question(decisive["ask"], f"决定第{number}条适不适用", clause, [number])]
    return found[:3]


def _own(guide: Guide, number: int, when: Iterable[str]) -> bool:
    """Whether a question's trade is one that the measure is about."""
    facts = {fact for benefit in guide.measures[number].benefits for fact in benefit.facts()}
    return any(fact in facts for fact in when)


def _question(text: str, reason: str, origin: str, measures: list[int]) -> dict[str, Any]:
    return {
        "text": text,
        "about": "measures",
        "measures": measures,
        "field": None,
        "reason": reason,
        "source": origin,
    }
