"""“Which of the 16 are for me?” – a walk (逐步对照) of a few questions from a firm to its measures.

`start` opens a walk with whatever the first message tells, `question` is what to ask now, `take` takes one
reply, `result` weighs every measure, `answer` says it. Pure; a `Walk` is JSON between turns. The questions
and words stand in the pack's `walk.yml` (`bot.policy.guide`). Nothing here promises anything: whether a
measure applies is decided by staff (domain.md 3.1: the notice grants no direct claim).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from bot.engine.text import normalise
from bot.policy.answers import MAX_MEASURES, Answer, Citation, Section, clause_name
from bot.policy.fitting import Facts, Fit, Offer, Status, weigh
from bot.policy.guide import Choice, Guide, Step, load_guide
from bot.policy.pack import Measure, Pack

__all__ = ["Fit", "Offer", "Question", "Walk", "answer", "question", "result", "start", "take"]

_TITLES: dict[Status, str] = {"fits": "看起来适用", "maybe": "要看条件", "no": "不适用"}


class Walk(BaseModel):
    """A walk between two turns; a fact that `facts` does not hold is open.

    `asked` is the open question's id, empty when there is none; `repeated`: it was asked a second time.
    """

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


# -- the dialogue -------------------------------------------------------------------------------------


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", normalise(text))


def _offered(step: Step, facts: Facts) -> list[Choice]:
    """The choices that would still tell something."""
    return [c for c in step.choices if not c.set or any(facts.get(f) is None for f in c.set)]


def _pending(walk: Walk, step: Step) -> bool:
    if step.id in walk.answered or any(walk.facts.get(f) is not None for f in step.settled_by):
        return False
    return (not step.when or any(walk.facts.get(f) for f in step.when)) and bool(_offered(step, walk.facts))


def _onward(guide: Guide, walk: Walk) -> Walk:
    """The walk with its next question open, or done."""
    pending = [s for s in guide.questions if _pending(walk, s)]
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


# -- what is found ------------------------------------------------------------------------------------


def result(walk: Walk, pack: Pack) -> list[Fit]:
    """How the measures fit what the firm told, best first; see `bot.policy.fitting.weigh`."""
    return weigh(load_guide(), walk.facts, pack)


def _name(measure: Measure) -> str:
    return f"{measure.short}（{clause_name(measure)}）"


def _offer_line(offer: Offer, status: Status) -> str:
    # Each benefit keeps its own conditions: mixing them is this notice's commonest trap (domain.md 3.4).
    line = f"· {'也可能：' if offer.status != status else ''}{offer.say}。"
    if offer.conditions:
        # 质量帮扶的要求：… – which benefit a condition belongs to is plain from its place.
        line += f"条件是：{'；'.join(c.split('：', 1)[-1] for c in offer.conditions)}。"
    return line + (f"还要看：{'；'.join(offer.unknown)}。" if offer.unknown else "")


def _lines(measure: Measure, fit: Fit) -> list[str]:
    if fit.status == "no":
        return [f"{_name(measure)}：{fit.why or '；'.join(f'没有符合“{p}”' for p in fit.not_met)}。"]
    return [_name(measure), *(_offer_line(offer, fit.status) for offer in fit.offers)]


def _headline(live: list[Fit]) -> str:
    counts = [(sum(f.status == s for f in live), t) for s, t in _TITLES.items()]
    told = "，".join(f"{title}的有{count}条" for count, title in counts if count)
    if not told:
        return "按您说的，没有找到专门写给您这一类的措施；是否适用以工作人员认定为准。"
    return f"按您说的，{told}；是否适用以工作人员认定为准。"


def _section(measure: Measure, fit: Fit) -> Section:
    unknown = dict.fromkeys(u for o in fit.offers for u in o.unknown)
    return Section(
        measure=fit.measure,
        title=measure.short,
        say=f"{_TITLES[fit.status]}：{'；'.join(o.say for o in fit.offers)}。",
        conditions=tuple(dict.fromkeys(c for o in fit.offers for c in o.conditions)),
        note=f"还要看：{'；'.join(unknown)}。" if unknown else "",
        clause=measure.text,
        specified=True,
        facet="who",
    )


def _names(pack: Pack, fits: Iterable[Fit]) -> str:
    return "、".join(_name(pack.measure(f.measure)) for f in fits)


def _sms(pack: Pack, live: list[Fit]) -> str:
    closing = f"※{pack.notice.validity.sms[pack.notice.validity.state]}"
    if not live:
        return f"没有找到专门写给您这一类的措施，以工作人员认定为准。{closing}"
    if len(live) == 1:
        only = live[0]
        return f"{_TITLES[only.status]}：第{only.measure}条：{pack.measure(only.measure).sms}{closing}"
    parts = []
    for status, title in _TITLES.items():
        if names := [f"第{f.measure}条{pack.measure(f.measure).short}" for f in live if f.status == status]:
            parts.append(f"{title}：{'、'.join(names)}")
    return f"{'；'.join(parts)}。各条都有条件，想看哪条回“第几条”{closing}"


def answer(walk: Walk, pack: Pack) -> Answer:
    """What was found, as an answer; works on a walk that is not done, too.

    Kind `policy`, resting on the measures that fit or may fit; when there is none, `notice` without measures.
    """
    fits = result(walk, pack)
    live = [f for f in fits if f.status != "no" and not f.general]
    shown, rest = live[:MAX_MEASURES], live[MAX_MEASURES:]
    lines = [_headline(live)]
    for status, title in _TITLES.items():
        group = [f for f in (fits if status == "no" else shown) if f.status == status and not f.general]
        lines += [f"【{title}】"] if group else []
        lines += [line for f in group for line in _lines(pack.measure(f.measure), f)]
        if rest and status == "maybe":
            lines.append(f"还有可能相关的：{_names(pack, rest)}。想看哪一条请告诉我。")
    if general := [f for f in fits if f.general]:
        lines.append(f"不分行业的还有：{_names(pack, general)}。")
    lines.append(f"※{pack.notice.validity.sentence}")
    return Answer(
        kind="policy" if live else "notice",
        text="\n".join(lines),
        sms=_sms(pack, live),
        measures=tuple(f.measure for f in live),
        facets=("who",) if live else ("list",),
        citations=tuple(Citation(pack.notice.number, f.measure, pack.measure(f.measure).text) for f in live),
        validity=pack.notice.validity.state,
        sections=tuple(_section(pack.measure(f.measure), f) for f in shown),
    )
