"""From what the engine decided to the words that are said.

`compose(payloads, reading, state, text)` returns the replies, the next state and whether a person is wanted.
A payload is `{"compose": name}` from `bot/domain/answers.yml`, or `{"compose": "ready", ...}` from an action
that made its words itself (intake, receipt, status).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.conversations import emergency
from bot.conversations.call_back import offer
from bot.conversations.languages import language_of
from bot.conversations.log import Choice, Reply
from bot.conversations.switches import Switches
from bot.conversations.wording import phrases
from bot.policy import Pack, answers, load, walk

MISSES_TO_OFFER = 2  # The second miss in a row offers a person (ladder of issue "One command").
MISSES_TO_HAND_OVER = 3  # GB/T 47746-2026: repeated failure hands over; test suites use three turns.
FOCUS_TURNS = 6  # A measure stays in focus for so many turns about something else.
INTAKE = ("complaint", "report", "suggestion", "intake", "receipt")  # kinds of replies that an intake makes


def reviewed(pack: Pack, state: str | None) -> Pack:
    """`pack` as staff have reviewed its validity since; the pack itself when they have not."""
    notice = pack.notice
    if not state or state == notice.validity.state:
        return pack
    validity = notice.validity.model_copy(update={"state": state})
    return pack.model_copy(update={"notice": notice.model_copy(update={"validity": validity})})


@dataclass
class Composed:
    """The outcome of one turn."""

    replies: list[Reply] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    hand_over: str = ""  # reason, when a person is wanted
    urgent: bool = False
    reading: dict[str, Any] = field(default_factory=dict)  # what the engine understood, kept for staff
    call_back: str = ""  # a phone number that a call-back was asked for


@dataclass(frozen=True)
class Turn:
    """What the composers see."""

    payload: dict[str, Any]
    reading: dict[str, Any]
    state: dict[str, Any]
    text: str
    pack: Pack
    switches: Switches

    @property
    def normal(self) -> str:
        """The normal form of the citizen's text."""
        return str(self.reading.get("text", self.text))


def payload_of(kind: str, **known: Any) -> dict[str, Any]:
    """The contract's `answer` object with all its keys."""
    blank: dict[str, Any] = {
        "kind": kind,
        "measures": [],
        "facets": [],
        "specified": True,
        "citations": [],
        "validity": None,
        "case": None,
        "options": [],
    }
    return blank | known


def human_choice() -> Choice:
    """The button that calls a person; every fallback carries it."""
    return Choice("human", phrases()["human"], phrases()["human"])


def simple(kind: str, text: str, *choices: Choice, **known: Any) -> Reply:
    """A reply without citations."""
    return Reply(text=text, answer=payload_of(kind, **known), choices=choices, sms=text)


def greeting() -> Reply:
    """The first message of a conversation: says that it is a bot and what it can do."""
    labels = phrases()["greeting_choices"]
    return simple(
        "chitchat", phrases()["greeting"], *(Choice(f"start{i}", x, x) for i, x in enumerate(labels))
    )


# -- one composer a kind of payload -------------------------------------------------------------------


def _from_answer(answer: answers.Answer, *choices: Choice) -> Reply:
    return Reply(
        text=answer.text,
        answer=payload_of(
            answer.kind,
            measures=list(answer.measures),
            facets=list(answer.facets),
            specified=answer.specified,
            citations=[asdict(c) for c in answer.citations],
            validity=answer.validity,
        ),
        choices=choices,
        sms=answer.sms,
        card={"sections": [asdict(s) for s in answer.sections]} if answer.sections else None,
    )


def _policy(turn: Turn) -> Composed:
    reading, state = turn.reading, dict(turn.state)
    asked = [n for n in reading.get("measures", []) if n in turn.pack.measures]
    if not asked:
        return _fallback(turn)
    measures = [n for n in asked if n not in turn.switches.withdrawn]
    if not measures:
        return Composed([_withdrawn(turn, asked)], _settled(state, "fallback"))
    states = {turn.switches.validity.get(n, turn.pack.notice.validity.state) for n in measures}
    answer = answers.policy(
        # Measures whose validity differs: the careful sentence is true of each.
        reviewed(turn.pack, states.pop() if len(states) == 1 else "unknown"),
        measures,
        reading.get("facet", "what"),
        specified=bool(reading.get("specified", True)),
        text=turn.normal,
    )
    choices = [Choice(f"next{i}", label, label) for i, label in enumerate(answer.next)]
    if state.get("focus") and state["focus"] != measures:
        state["before"] = state["focus"]
    state.pop("walk", None)
    state |= {
        "focus": measures,
        "facet": answer.facets[0],
        "last_kind": "policy",
        "misses": 0,
        "focus_age": 0,
    }
    state["options"] = []
    replies = [_from_answer(answer, *choices, human_choice())]
    if len(measures) < len(asked):
        replies.append(_withdrawn(turn, [n for n in asked if n not in measures]))
    return Composed(replies, state)


def _withdrawn(turn: Turn, measures: list[int]) -> Reply:
    """Said instead of an answer that staff have withdrawn; their reason is for the record, not for citizens."""
    names = "、".join(answers.clause_name(turn.pack.measure(n)) for n in measures)
    return simple("fallback", phrases()["withdrawn"].format(names=names), human_choice())


def _notice(turn: Turn) -> Composed:
    topic = str(turn.reading.get("topic") or "topic")
    if topic in ("list", "topic") and (fits := _broad(turn)):
        return fits
    answer = answers.about(turn.pack, topic)
    return Composed([_from_answer(answer, human_choice())], _settled(turn.state, "notice"))


def _measure_choices(pack: Pack, numbers: list[int]) -> list[Choice]:
    return [Choice(f"measure{n}", pack.measure(n).short, pack.measure(n).short, (n,)) for n in numbers]


# Words that ask for everything that fits a firm, not for one measure.
_BROAD = re.compile(
    r"(哪|那|啥|什么)(几|些|个)?(条|项|政策|措施|支持|优惠|扶持|照顾|帮助)|能用(得?上|的)|沾边|有(啥|什么|没有).{0,4}(政策|支持|照顾|优惠)|哪条管|适合"
)


def _match(turn: Turn) -> Composed:
    """The walk of a few questions to the measures that fit; a firm that said what it is gets them at once."""
    kept = turn.state.get("walk")
    if kept and turn.reading.get("topic") == "walk":
        steps = walk.take(walk.Walk.model_validate(kept), turn.text)
    else:
        steps = walk.start(turn.normal)
        if walk.answer(steps, turn.pack).kind == "policy":
            return _walked(turn, steps)
    asked = walk.question(steps)
    if asked is None:
        return _walked(turn, steps)
    state = _settled(turn.state, "clarify") | {"walk": steps.model_dump()}
    choices = [Choice(f"walk{i}", label, label) for i, label in enumerate(asked.choices)]
    opening = "" if kept else phrases()["match"]["say"] + "\n"
    return Composed([simple("clarify", opening + asked.text, *choices)], state)


def _walked(turn: Turn, steps: walk.Walk) -> Composed:
    answer = walk.answer(steps, turn.pack)
    state = _settled(turn.state, answer.kind)
    if answer.measures:
        state |= {"focus": list(answer.measures), "facet": "what", "focus_age": 0}
    return Composed([_from_answer(answer, human_choice())], state)


def _broad(turn: Turn) -> Composed | None:
    """The measures that fit, when the words ask for all of them and say what the firm is."""
    if not _BROAD.search(turn.normal):
        return None
    steps = walk.start(turn.normal)
    return _walked(turn, steps) if walk.answer(steps, turn.pack).kind == "policy" else None


def _clarify(turn: Turn) -> Composed:
    if fits := _broad(turn):
        return fits
    words = phrases()["clarify"]
    options = [n for n in turn.reading.get("options", []) if n in turn.pack.measures][:3]
    if not options:
        return _unclear(turn)
    state, misses = _missed(turn.state, "clarify")
    state["options"] = options
    choices = [*_measure_choices(turn.pack, options), Choice("none", words["none"], phrases()["human"])]
    say = words["say"] if misses < MISSES_TO_OFFER else words["again"]
    names = " ／ ".join(turn.pack.measure(n).short for n in options)
    reply = simple("clarify", f"{say}（{names}）", *choices, options=[{"measures": [n]} for n in options])
    return _ladder(Composed([reply], state), misses)


def _fallback(turn: Turn) -> Composed:
    if fits := _broad(turn):
        return fits
    words = phrases()["fallback"]
    state, misses = _missed(turn.state, "fallback")
    if misses >= MISSES_TO_OFFER:
        return _ladder(Composed([simple("fallback", words["second"], human_choice())], state), misses)
    near = [
        int(n)
        for n, p in turn.reading.get("scores", {}).items()
        if p >= 0.25 and int(n) in turn.pack.measures
    ]
    lines = [words["say"]]
    if near:
        names = "、".join(
            f"{turn.pack.measure(n).short}（{answers.clause_name(turn.pack.measure(n))}）" for n in near[:2]
        )
        lines.append(words["near"].format(names=names))
    lines.append(words["help"])
    return Composed(
        [simple("fallback", "\n".join(lines), *_measure_choices(turn.pack, near[:2]), human_choice())], state
    )


def _unclear(turn: Turn) -> Composed:
    words = phrases()["unclear"]
    state, misses = _missed(turn.state, "fallback")
    say = words["say"] if misses < MISSES_TO_OFFER else words["second"]
    return _ladder(Composed([simple("fallback", say, human_choice())], state), misses)


def _chitchat(turn: Turn) -> Composed:
    words = phrases()["chitchat"]
    topic = str(turn.reading.get("topic") or "unclear")
    choices = (human_choice(),) if topic in ("abuse", "mood") else ()
    return Composed(
        [simple("chitchat", words.get(topic, words["unclear"]), *choices)], _settled(turn.state, "chitchat")
    )


def _emergency(turn: Turn) -> Composed:
    known, signal = emergency.topics(), emergency.check(turn.text)
    # Where words signal a danger at all, they name it rightly more often than the models (81 to 66 of 100).
    read = known[signal.topic.name] if signal else known.get(str(turn.reading.get("topic")), known["injury"])
    topic = emergency.in_language(known.get(str(turn.payload.get("topic")), read), turn.text)
    return in_danger(topic, Composed(state=dict(turn.state)))


def in_danger(topic: emergency.Topic, composed: Composed) -> Composed:
    """The danger in place of what was to be said; only an intake, which is stored already, goes on behind it."""
    return Composed(
        [danger(topic), *(r for r in composed.replies if r.answer["kind"] in INTAKE)],
        composed.state | {"last_kind": "emergency"},
        hand_over=f"险情：{topic.name}",
        urgent=True,
        reading=composed.reading,
    )


def danger(topic: emergency.Topic) -> Reply:
    """What is said at once in an emergency; the numbers stand before the question."""
    return Reply(
        text=f"{topic.say}\n我已同时提醒值班人员。{topic.ask}",
        answer=payload_of("emergency"),
        choices=(),
        sms=topic.say,
        card={"call": list(topic.call)},
    )


def _handoff(turn: Turn) -> Composed:
    return Composed([], _settled(turn.state, "handoff"), hand_over="要求人工")


def _ready(turn: Turn) -> Composed:
    p = turn.payload
    choices = tuple(Choice(f"c{i}", label, label) for i, label in enumerate(p.get("choices", [])))
    answer = payload_of(p["kind"], case=p.get("case"))
    state = _settled(turn.state, p["kind"]) | (p.get("state") or {})
    reply = Reply(p["text"], answer, choices, sms=p.get("sms") or p["text"], card=p.get("card"))
    return Composed([reply], state, hand_over=p.get("hand_over", ""))


COMPOSERS: dict[str, Callable[[Turn], Composed]] = {
    "policy": _policy,
    "notice": _notice,
    "match": _match,
    "clarify": _clarify,
    "fallback": _fallback,
    "unclear": _unclear,
    "chitchat": _chitchat,
    "emergency": _emergency,
    "handoff": _handoff,
    "ready": _ready,
}


def hand_over_reply(before: int, wait_minutes: int | None = None, *, nobody: bool = False) -> Reply:
    """Said when a person was asked for. `before`: how many wait in front; `wait_minutes`: None if nobody can tell;
    `nobody`: no member of staff is at the desk, so a call-back is offered."""
    words = phrases()["handoff"]
    place = words["first"] if before == 0 else words["place"].format(count=before)
    if nobody:
        return simple("handoff", f"{words['say']}{place}\n{words['nobody']}\n{words['meanwhile']}", *offer())
    wait = "" if wait_minutes is None else words["wait"].format(minutes=wait_minutes)
    return simple("handoff", f"{words['say']}{place}{wait}\n{words['meanwhile']}")


# -- state --------------------------------------------------------------------------------------------


def _settled(state: dict[str, Any], kind: str) -> dict[str, Any]:
    """The state after a turn that was understood; a measure in focus grows old."""
    new = dict(state) | {"last_kind": kind, "misses": 0, "options": []}
    new.pop("walk", None)
    new["focus_age"] = int(state.get("focus_age", 0)) + 1
    if new["focus_age"] > FOCUS_TURNS:
        new["focus"], new["before"] = [], []
    return new


def _missed(state: dict[str, Any], kind: str) -> tuple[dict[str, Any], int]:
    misses = int(state.get("misses", 0)) + 1
    return _settled(state, kind) | {"misses": misses}, misses


def _ladder(composed: Composed, misses: int) -> Composed:
    if misses >= MISSES_TO_HAND_OVER:
        composed.hand_over = "多次没有听懂"
        composed.state["misses"] = 0
    return composed


def _merge(replies: list[Reply]) -> list[Reply]:
    """Consecutive messages of an intake become one bubble; the first one's kind stands for both."""
    merged: list[Reply] = []
    for reply in replies:
        last = merged[-1] if merged else None
        if last and last.answer["kind"] in INTAKE and reply.answer["kind"] == "intake":
            merged[-1] = Reply(
                text=f"{last.text}\n{reply.text}",
                answer=last.answer,
                choices=reply.choices or last.choices,
                sms=f"{last.sms}\n{reply.sms}",
                card=(last.card or {}) | (reply.card or {}) or None,
            )
        else:
            merged.append(reply)
    return merged


def compose(
    payloads: list[dict[str, Any]],
    reading: dict[str, Any],
    state: dict[str, Any],
    text: str,
    pack: Pack | None = None,
    switches: Switches | None = None,
) -> Composed:
    """All replies of one turn. No payload at all is a failure of the engine and raises `ValueError`."""
    if not payloads:
        raise ValueError("the engine decided nothing")
    switches = switches or Switches()
    pack = reviewed(pack or load(), switches.validity.get(0))
    result = Composed(state=dict(state), reading=reading)
    for payload in payloads:
        composer = COMPOSERS.get(str(payload.get("compose")))
        if composer is None:
            raise ValueError(f"unknown payload {payload.get('compose')!r}")
        part = composer(Turn(payload, reading, result.state, text, pack, switches))
        result.replies += part.replies
        result.state = part.state
        result.hand_over = result.hand_over or part.hand_over
        result.urgent = result.urgent or part.urgent
    result.replies = _merge(result.replies)
    if any(reply.answer["kind"] == "policy" for reply in result.replies):
        # Inside an intake the next question follows the answer; a follow-up is still about the answer.
        result.state["last_kind"] = "policy"
    line = phrases()["foreign"].get(language_of(text))
    # What is said in danger begins with its own line: the numbers before everything else.
    if line and result.replies and result.replies[0].answer["kind"] != "emergency":
        first = result.replies[0]
        result.replies[0] = Reply(f"{line}\n{first.text}", first.answer, first.choices, first.sms, first.card)
    return result
