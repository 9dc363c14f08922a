"""“Which of the 16 are for me?” – a walk (逐步对照) of a few questions from a firm to its measures.

`start` opens a walk with whatever the first message tells, `question` is what to ask now, `take` takes one
reply, `result` weighs every measure, `answer` says it. Pure; a `Walk` is JSON between turns. The questions
and words stand in the pack's `walk.yml` (`bot.policy.guide`). Nothing here promises anything: whether a
measure applies is decided by staff (domain.md 3.1: the notice grants no direct claim).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bot.engine.text import normalise
from bot.policy.answers import MAX_MEASURES, Answer, Citation, Section, clause_name
from bot.policy.guide import Benefit, Choice, Guide, Step, load_guide
from bot.policy.pack import Measure, Pack

Status = Literal["fits", "maybe", "no"]
_RANK: dict[str, int] = {"fits": 0, "maybe": 1, "no": 2}
_TITLES: dict[str, str] = {"fits": "看起来适用", "maybe": "要看条件", "no": "不适用"}


class Walk(BaseModel):
    """A walk between two turns. `asked` is the open question's id, empty when none is; facts not in `facts` are open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: dict[str, bool | None] = {}
    asked: str = ""
    done: bool = False
    answered: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True)
class Question:
    """What to ask and the labels of the buttons; the last one skips."""

    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """How a measure fits. `benefits` and `conditions` are those still possible; `conditions` is all that belongs to
    them, of which `satisfied`, `open` and `not_met` say what is known. `quotes` are verbatim in the clause.
    """

    measure: int
    status: Status
    satisfied: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    not_met: tuple[str, ...] = ()
    benefits: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    why: str = ""
    general: bool = False


# -- the dialogue -------------------------------------------------------------------------------------


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", normalise(text))


def _offered(step: Step, facts: dict[str, bool | None]) -> list[Choice]:
    """The choices that would still tell something."""
    return [c for c in step.choices if not c.set or any(facts.get(f) is None for f in c.set)]


def _pending(guide: Guide, walk: Walk, step: Step) -> bool:
    if step.id in walk.answered or any(walk.facts.get(f) is not None for f in step.settled_by):
        return False
    return (not step.when or any(walk.facts.get(f) for f in step.when)) and bool(_offered(step, walk.facts))


def _onward(guide: Guide, walk: Walk) -> Walk:
    """The walk with its next question open, or done."""
    pending = [s for s in guide.questions if _pending(guide, walk, s)]
    left = guide.max_questions - len(walk.answered)
    last = guide.questions[-1]
    if left == 1 and last in pending:
        pending = [last]
    if walk.done or left < 1 or not pending:
        return walk.model_copy(update={"asked": "", "done": True, "repeated": False})
    same = pending[0].id == walk.asked
    return walk.model_copy(update={"asked": pending[0].id, "repeated": walk.repeated and same})


def _learn(walk: Walk, facts: dict[str, bool]) -> Walk:
    return walk.model_copy(update={"facts": {**walk.facts, **facts}})


def start(text: str = "") -> Walk:
    """A walk opened by a message (any length, not yet normalised); its facts are filled at once."""
    guide = load_guide()
    return _onward(guide, _learn(Walk(), guide.recognise(normalise(text))))


def question(walk: Walk) -> Question | None:
    """The open question, None when the walk is done; at most six choices, the last one skips."""
    if walk.done or not walk.asked:
        return None
    guide = load_guide()
    step = guide.step(walk.asked)
    text = next((say for fact, say in step.ask_known.items() if walk.facts.get(fact)), step.ask)
    return Question(text, (*(c.label for c in _offered(step, walk.facts)), guide.skip))


def _pressed(text: str, offered: list[Choice]) -> Choice | None:
    """The choice whose label or number `text` is."""
    said = _bare(text)
    if said.isascii() and said.isdigit() and 1 <= int(said) <= len(offered):
        return offered[int(said) - 1]
    return next((c for c in offered if _bare(c.label) == said), None)


def take(walk: Walk, text: str) -> Walk:
    """The walk after one reply: a label, its number, or free words.

    What is not understood is asked once more and then counts as skipped; a walk that is done stays as it is.
    """
    if walk.done:
        return walk
    guide = load_guide()
    step = guide.step(walk.asked)
    offered, said = _offered(step, walk.facts), normalise(text)
    answered = walk.model_copy(update={"answered": (*walk.answered, step.id), "repeated": False})
    if guide.says(said, guide.stop_words):
        return answered.model_copy(update={"asked": "", "done": True})
    if choice := _pressed(text, offered):
        return _onward(guide, _learn(answered, choice.set))
    if _bare(text) in (_bare(guide.skip), str(len(offered) + 1)):
        return _onward(guide, answered)
    told = guide.recognise(said)
    typed = next((c for c in offered if guide.says(said, c.words)), None)
    # What is told by the sentence itself weighs more than a word that stands for a choice.
    heard = {**(typed.set if typed else {}), **told}
    if typed:
        return _onward(guide, _learn(answered, heard))
    if guide.says(_bare(text), guide.skip_words):
        return _onward(guide, answered)
    learned = _learn(walk, heard)
    settles = {*step.settled_by, *(f for c in step.choices for f in c.set)}
    if settles & told.keys() or walk.repeated:
        return _onward(guide, learned.model_copy(update={"answered": answered.answered, "repeated": False}))
    return _onward(guide, learned.model_copy(update={"repeated": True}))


# -- the weighing -------------------------------------------------------------------------------------


def _closed(guide: Guide, facts: dict[str, bool | None]) -> dict[str, bool | None]:
    """A firm that named its trade is not in the trades that it did not name."""
    if not any(facts.get(t) for t in guide.trades):
        return facts
    return {**dict.fromkeys(guide.trades, False), **{k: v for k, v in facts.items() if v is not None}}


def _any(facts: dict[str, bool | None], group: str) -> bool | None:
    known = [facts.get(fact) for fact in group.split("|")]
    return True if True in known else None if None in known else False


def _benefit_status(benefit: Benefit, facts: dict[str, bool | None]) -> Status | None:
    """None: nothing that the firm told has to do with the benefit."""
    needs = [_any(facts, group) for group in benefit.needs]
    linked = [_any(facts, group) for group in (*(c for c in benefit.conditions.values() if c), *benefit.also)]
    if True not in needs:
        return None
    if False in needs or False in linked:
        return "no"
    return "maybe" if None in needs else "fits"


def _plain(measure: Measure, facts: dict[str, bool | None], group: str) -> str:
    words = {fit.fact: fit.plain for fit in measure.fits}
    told = [f for f in group.split("|") if facts.get(f)]
    # Of alternatives the one that the firm told, else the likeliest, which stands last.
    return words[told[0] if told else group.split("|")[-1]]


def _points(measure: Measure, benefit: Benefit, facts: dict[str, bool | None]) -> list[tuple[str, bool | None]]:
    """Everything that decides about a benefit, in plain words, and whether it is so."""
    linked = {fact for group in benefit.conditions.values() if group for fact in group.split("|")}
    points = [(_plain(measure, facts, g), _any(facts, g)) for g in benefit.needs if not linked & set(g.split("|"))]
    points += [(measure.conditions[c].plain, _any(facts, g) if g else None) for c, g in benefit.conditions.items()]
    return points + [(_plain(measure, facts, g), _any(facts, g)) for g in benefit.also if _any(facts, g) is not None]


def _weigh(guide: Guide, measure: Measure, told: dict[str, bool | None]) -> Fit | None:
    need, facts = guide.measures[measure.number], _closed(guide, told)
    found = [(b, s) for b in need.benefits if (s := _benefit_status(b, facts))]
    live = [b for b, s in found if s != "no"]
    why = next((say for fact, say in need.near.items() if told.get(fact)), "") if not live else ""
    if not found and not why:
        return None
    status: Status = min((s for _, s in found), key=_RANK.__getitem__, default="no")
    points: dict[str, bool | None] = {}
    for benefit in live or [b for b, _ in found]:
        for plain, known in _points(measure, benefit, facts):
            points[plain] = known if points.get(plain) is None else points[plain]
    by = {known: tuple(p for p, k in points.items() if k is known) for known in (True, None, False)}
    conditions = dict.fromkeys(c for b in live for c in b.conditions)
    quotes = [b.quote for b in live] + [measure.conditions[c].quote for c in conditions]
    return Fit(
        measure=measure.number,
        status=status,
        satisfied=by[True],
        open=by[None],
        not_met=by[False],
        benefits=tuple(dict.fromkeys(b.say for b in live)),
        conditions=tuple(measure.conditions[c].plain for c in conditions),
        quotes=tuple(dict.fromkeys(quotes or [measure.text])),
        why=why,
    )


def result(walk: Walk, pack: Pack) -> list[Fit]:
    """How the measures fit what the firm told, best first; measures that it told nothing about are left out.

    The general measures (1, 14, 15, 16) come last with `general=True` unless the firm asked for them.
    """
    guide = load_guide()
    weighed = [f for n in sorted(pack.measures) if (f := _weigh(guide, pack.measure(n), walk.facts))]
    weighed.sort(key=lambda f: (_RANK[f.status], -len(f.satisfied) if f.status != "no" else 0, f.measure))
    named = {f.measure for f in weighed if f.status != "no"}
    weighed = [f for f in weighed if f.measure in named or f.measure not in guide.general]
    rest = [pack.measure(n) for n in guide.general if n not in named]
    return weighed + [Fit(m.number, "maybe", quotes=(m.text,), general=True) for m in rest]


# -- the words ----------------------------------------------------------------------------------------


def _name(measure: Measure) -> str:
    return f"{measure.short}（{clause_name(measure)}）"


def _lines(measure: Measure, fit: Fit) -> list[str]:
    if fit.status == "no":
        reason = fit.why or "，".join(f"“{p}”没有达到" for p in fit.not_met)
        return [f"{_name(measure)}：{reason}。"]
    lines = [f"{_name(measure)}：{'；'.join(fit.benefits)}。{'条件是：' if fit.conditions else ''}"]
    lines += [f"{i}. {c}{'。' if i == len(fit.conditions) else '；'}" for i, c in enumerate(fit.conditions, 1)]
    # The conditions stand above with their numbers; here only what else decides.
    if unknown := [p for p in fit.open if p not in fit.conditions]:
        lines.append(f"还不清楚是不是：{'；'.join(unknown)}。")
    return lines


def _headline(fits: list[Fit]) -> str:
    counts = [(sum(f.status == s for f in fits), t) for s, t in (("fits", "看起来适用"), ("maybe", "要看条件"))]
    told = "，".join(f"{title}的有{count}条" for count, title in counts if count)
    if not told:
        return "按您说的，没有找到专门写给您这一类的措施；以工作人员认定为准。"
    return f"按您说的，{told}；是否适用以工作人员认定为准。"


def _section(pack: Pack, fit: Fit) -> Section:
    measure = pack.measure(fit.measure)
    note = f"还不清楚是不是：{'；'.join(p for p in fit.open if p not in fit.conditions)}。"
    return Section(
        measure=fit.measure,
        title=measure.short,
        say=f"{_TITLES[fit.status]}：{'；'.join(fit.benefits)}。",
        conditions=fit.conditions,
        note=note if set(fit.open) - set(fit.conditions) else "",
        clause=measure.text,
        specified=True,
        facet="who",
    )


def _sms(pack: Pack, live: list[Fit]) -> str:
    closing = f"※{pack.notice.validity.sms[pack.notice.validity.state]}"
    if not live:
        return f"没有找到专门写给您这一类的措施，以工作人员认定为准。{closing}"
    if len(live) == 1:
        return f"{_TITLES[live[0].status]}：第{live[0].measure}条：{pack.measure(live[0].measure).sms}{closing}"
    parts = []
    for status in ("fits", "maybe"):
        names = "、".join(f"第{f.measure}条{pack.measure(f.measure).short}" for f in live if f.status == status)
        parts += [f"{_TITLES[status]}：{names}"] if names else []
    return f"{'；'.join(parts)}。各条都有条件，想看哪条回“第几条”{closing}"


def answer(walk: Walk, pack: Pack) -> Answer:
    """What was found, as an answer. Works on a walk that is not done, too.

    Kind `policy`, resting on the measures that fit or may fit; when there is none it is `notice` without measures.
    """
    fits = result(walk, pack)
    live = [f for f in fits if f.status != "no" and not f.general]
    lines = [_headline(live)]
    shown = live[:MAX_MEASURES]
    for status in ("fits", "maybe"):
        group = [f for f in shown if f.status == status]
        lines += [f"【{_TITLES[status]}】"] if group else []
        lines += [line for f in group for line in _lines(pack.measure(f.measure), f)]
    if rest := live[MAX_MEASURES:]:
        lines.append(f"还有可能相关的：{'、'.join(_name(pack.measure(f.measure)) for f in rest)}。想看哪一条请告诉我。")
    if unfit := [f for f in fits if f.status == "no"]:
        lines.append(f"【{_TITLES['no']}】")
        lines += [line for f in unfit for line in _lines(pack.measure(f.measure), f)]
    if general := [f for f in fits if f.general]:
        lines.append(f"不分行业的还有：{'、'.join(_name(pack.measure(f.measure)) for f in general)}。")
    lines.append(f"※{pack.notice.validity.sentence}")
    return Answer(
        kind="policy" if live else "notice",
        text="\n".join(lines),
        sms=_sms(pack, live),
        measures=tuple(f.measure for f in live),
        facets=("who",) if live else ("list",),
        citations=tuple(Citation(pack.notice.number, f.measure, pack.measure(f.measure).text) for f in live),
        validity=pack.notice.validity.state,
        sections=tuple(_section(pack, f) for f in shown),
    )
