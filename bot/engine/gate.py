"""The gate: one decision with a reason from all scores and the turn's context.

Answer, ask back (which two or three), take the message as part of a running intake, or decline. A linear
model alone cannot decline: it once gave a weather question 0.99. Thresholds are in `Thresholds`; they were
chosen on cross-validated scores and the dev set (docs/adr/0003-linear-models.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.engine.places import is_elsewhere

# Acts that interrupt a running intake; every other message belongs to it.
INTERRUPTS = frozenset({"policy", "notice", "handoff", "emergency", "match", "status"})
# Acts that only mean something about what was just said.
BARE = frozenset({"affirm", "deny", "cancel", "correct", "resume", "skip"})
CASES = frozenset({"complaint", "request", "report", "suggestion"})


@dataclass(frozen=True)
class Thresholds:
    """All probabilities between 0 and 1."""

    answer: float = 0.5  # a measure at or above is answered
    both: float = 0.42  # act times measure under which a lone measure is asked back instead of answered
    ahead: float = 0.4  # act times measure from which a measure under `answer`, but far ahead, is answered
    near: float = 0.25  # cosine under which a message is like no example …
    unlike: float = 0.8  # … and then needs a measure this sure
    elsewhere: float = (
        0.95  # act score at which a question that names another province is answered all the same
    )
    second: float = 0.5  # a further measure at or above is answered as well
    ask: float = 0.2  # measures at or above are offered when none reaches `answer`
    sure: float = 0.9  # a measure at or above is answered although the words look ambiguous
    doubt: float = 0.15  # the act policy at or above, beside a likelier oos …
    named: float = 0.8  # … and a measure at or above: asked back instead of declined
    faint: float = 0.06  # the least a measure must have when the act is surely a policy question
    lead: float = 2.5  # how many times the second measure the first must have to be answered alone
    part: float = 0.9  # a measure and the act policy, in one part of the message, to be added …
    echo: float = 0.005  # … when the whole message lets that measure sound at all
    danger: float = 0.5  # the act emergency, when no word signals danger
    interrupt: float = 0.6  # act score at which a question interrupts an intake


@dataclass(frozen=True)
class Context:
    """What the service knows about the conversation; all optional."""

    focus: tuple[int, ...] = ()  # measures of the last policy answer
    before: tuple[int, ...] = ()  # measures in focus before the last change
    facet: str = ""
    last_kind: str = ""  # kind of the bot's last answer
    intake: str = ""  # type of the open draft, or empty
    asked: str = ""  # field asked last
    options: tuple[int, ...] = ()  # measures offered by the last ask-back
    picked: tuple[int, ...] = ()  # measures of the button that was pressed
    walk: bool = False  # the questions towards the fitting measures are running
    danger: bool = False  # words of danger stand in the message

    @classmethod
    def read(cls, data: Any) -> Context:
        """A context from the request's JSON; whatever has the wrong shape is left out."""
        if not isinstance(data, dict):
            return cls()

        def numbers(key: str) -> tuple[int, ...]:
            some = data.get(key)
            return (
                tuple(n for n in some if isinstance(n, int) and 1 <= n <= 16)
                if isinstance(some, list)
                else ()
            )

        def word(key: str) -> str:
            value = data.get(key)
            return value if isinstance(value, str) else ""

        return cls(
            numbers("focus"), numbers("before"), word("facet"), word("last_kind"),
            word("intake"), word("asked"), numbers("options"), numbers("picked"), data.get("walk") is True, data.get("danger") is True,
        )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One part of a message: its act, its likeliest measures, and whether it says what is not meant."""

    act: str
    score: float
    measures: dict[int, float]
    denied: bool
    asks: bool = True
    adds: bool = False  # it begins a second matter: 另外…


@dataclass(frozen=True)
class Scores:
    """What the models said about one message."""

    acts: dict[str, float]
    measures: dict[int, float]
    facets: dict[str, float]
    near: float  # cosine of the most similar example of any act
    given: Callable[[str, Sequence[int]], float]
    meanings: tuple[int, ...] = ()  # measures that ambiguous words like these may mean
    parts: tuple[Part, ...] = ()  # the message's parts, each read for itself

    @property
    def act(self) -> str:
        """The likeliest act."""
        return max(self.acts, key=lambda a: self.acts[a])

    @property
    def facet(self) -> str:
        """The likeliest facet."""
        return max(self.facets, key=lambda f: self.facets[f])

    def best(self) -> list[tuple[int, float]]:
        """Measures with probability, best first."""
        return sorted(self.measures.items(), key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Reading:
    """The decision about one message."""

    intent: str
    confidence: float
    reason: str
    measures: tuple[int, ...] = ()
    facet: str = "what"
    specified: bool = True
    options: tuple[int, ...] = ()
    topic: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


# 第十条后面还有几条 asks about the notice, not about the tenth.
_ORDINAL = re.compile(
    r"第([一二三四五六七八九十]{1,3}|\d{1,2})[条项](?!(后面|以后|之后|往后|前面|之前|以前|到第))"
)
_NUMERALS = {c: i for i, c in enumerate("零一二三四五六七八九十")}


def named_clause(text: str) -> int | None:
    """The clause that is called by its number: 第九条 → 9."""
    found = _ORDINAL.search(text)
    if not found:
        return None
    word = found.group(1)
    if word.isdigit():
        number = int(word)
    elif "十" in word:
        tens, _, ones = word.partition("十")
        number = _NUMERALS.get(tens, 1) * 10 + (_NUMERALS.get(ones, 0) if ones else 0)
    else:
        number = _NUMERALS[word[0]]
    return number if 1 <= number <= 16 else None


# How much likelier an act becomes by what was said before. The models see one message only; a bare 对 means
# something after a question and next to nothing after a policy answer. Chosen on tests/eval/dev_dialogues.yml.
FRESH = {"followup": 0.12, "more": 0.3, **dict.fromkeys(BARE, 0.15)}
AFTER_ANSWER = {"followup": 6.0, "more": 1.5, **dict.fromkeys(BARE, 0.1)}
AFTER_STATUS = {"status": 10.0, "followup": 0.3, **dict.fromkeys(CASES, 0.2)}
IN_FOCUS = {"followup": 2.5, "more": 1.0, **dict.fromkeys(BARE, 0.2)}
IN_INTAKE = {"followup": 0.3, "more": 0.3, "oos": 0.3, "notice": 0.5, **dict.fromkeys(BARE, 3.0)}

_CASE_WORDS = re.compile(
    r"(我|俺|咱)们?((还|就|也)?(要|想|得|来)(实名|匿名)?|就|那就)(投诉|举报)(?!.{0,4}(怎么|咋|吗|流程|电话))"
)
_QUESTION = re.compile(r"[?]|吗|呢$|咋|怎么|多少|几|啥|什么|哪|行不|能不能|能.{1,8}不$")
_BACK = re.compile(r"刚才|方才|前面|上一|先头|说回|回到|头一个|第一个")
_ELLIPSIS = re.compile(
    r"^(那|那么|然后|再有)?.{1,9}(呢|咋办|咋说|行不|行吗|行么|算不|也行|可以吗|能行)[?!。]*$"
)


def with_context(scores: Scores, context: Context) -> Scores:
    """The same scores with the acts' prior moved to the conversation's state; sums to 1 again."""
    if context.intake and context.last_kind == "policy" and context.focus:
        factors = {"followup": 2.0, "oos": 0.5}
    elif context.intake:
        factors = IN_INTAKE
    elif context.last_kind == "status":
        factors = AFTER_STATUS
    elif context.focus:
        factors = AFTER_ANSWER if context.last_kind == "policy" else IN_FOCUS
    else:
        factors = FRESH
    moved = {act: p * factors.get(act, 1.0) for act, p in scores.acts.items()}
    total = sum(moved.values()) or 1.0
    ranked = sorted(moved.items(), key=lambda pair: -pair[1])
    return replace(scores, acts={act: p / total for act, p in ranked})


def _without(scores: Scores, act: str) -> Scores:
    """The scores as if `act` did not exist."""
    rest = {name: p for name, p in scores.acts.items() if name != act}
    total = sum(rest.values()) or 1.0
    return replace(scores, acts={name: p / total for name, p in rest.items()})


class Gate:
    """Decides; pure."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()

    def decide(self, text: str, scores: Scores, context: Context) -> Reading:
        """The reading of normalised `text`."""
        if context.picked:
            return self._policy(scores, context.picked, "picked from the offered choices", 1.0)
        if not re.search(r"[^\W_]", text):
            return Reading("unclear", 1.0, "nothing to read")
        scores = with_context(scores, context)
        if (
            scores.act == "emergency"
            and not context.danger
            and scores.acts["emergency"] < self.thresholds.danger
        ):
            scores = _without(scores, "emergency")
        if context.intake:
            return self._in_intake(text, scores, context)
        reading = self._free(text, scores, context)
        if context.walk and not self._leaves_walk(text, reading):
            return Reading("match", reading.confidence, "an answer to the walk", topic="walk")
        return reading

    def _leaves_walk(self, text: str, reading: Reading) -> bool:
        """Whether a message is no answer to a question of the walk: a wish of its own, or a question."""
        if reading.intent in ("handoff", "emergency"):
            return True
        if reading.intent in (*CASES, "status"):
            return reading.confidence >= 0.8
        return reading.intent in ("policy", "notice") and bool(_QUESTION.search(text))

    # -- an intake runs ---------------------------------------------------------------------------

    def _in_intake(self, text: str, scores: Scores, context: Context) -> Reading:
        act = scores.act
        score = scores.acts[act]
        if act in INTERRUPTS and score >= self.thresholds.interrupt:
            free = self._free(text, scores, replace(context, intake=""))
            if free.intent in INTERRUPTS:
                return replace(free, reason=f"interrupts the intake: {free.reason}")
        asks = scores.acts.get("followup", 0.0) + scores.acts.get("policy", 0.0)
        if context.last_kind == "policy" and context.focus and asks >= self.thresholds.interrupt:
            return self._policy(scores, context.focus, "follow-up inside an intake", asks)
        return Reading("inform", 1.0, "part of the running intake", topic=act, extra={"act": act})

    # -- no intake runs ---------------------------------------------------------------------------

    def _free(self, text: str, scores: Scores, context: Context) -> Reading:
        act = scores.act
        score = scores.acts[act]
        best = scores.best()
        clause = named_clause(text)
        if clause is not None and act in ("policy", "followup", "notice", "oos", "more"):
            return self._policy(scores, (clause,), "called by its number", 1.0)
        if context.last_kind == "status" and act in ("status", "oos", "followup", "chitchat", *BARE):
            return Reading("status", score, "goes on about the status asked for")
        back = context.before and _BACK.search(text) and best[0][1] < self.thresholds.answer
        if back and act not in ("emergency", "handoff", *CASES):
            return self._policy(scores, context.before, "back to the measure before", score)
        if act == "ambiguous":
            if best[0][1] >= self.thresholds.sure:
                return self._about_measures(text, scores, context, best, score)
            options = tuple(n for n, _ in best if n in scores.meanings) or scores.meanings
            return Reading("ask_back", score, "several measures fit the same words", options=options[:3])
        if (
            act not in CASES
            and _CASE_WORDS.search(text)
            and act not in ("policy", "status", "emergency", "handoff")
        ):
            act = max(CASES, key=lambda a: scores.acts.get(a, 0.0))
            return Reading(act, scores.acts.get(act, 0.0), "says so in words")
        if act == "policy":
            if is_elsewhere(text, best[0][0], sure=score >= self.thresholds.elsewhere):
                return Reading("oos", score, "another province's procedure", topic="other_province")
            return self._about_measures(text, scores, context, best, score)
        if act in ("followup", "more") or (context.focus and act not in CASES and _ELLIPSIS.match(text)):
            return self._goes_on(text, scores, context, best, act, score)
        if act in BARE:
            return Reading(act, score, "a bare answer")
        if act == "oos":
            return self._out_of_scope(text, scores, context, best, score)
        return Reading(act, score, "act")

    def _goes_on(
        self,
        text: str,
        scores: Scores,
        context: Context,
        best: list[tuple[int, float]],
        act: str,
        score: float,
    ) -> Reading:
        """A message that leans on the one before: another measure by name, else the one in focus."""
        named, p = best[0]
        if p >= self.thresholds.answer and named not in context.focus:
            reading = self._policy(scores, (named,), "another measure by name", score)
            # 那专利的呢 asks the same of another measure.
            return (
                replace(reading, facet=context.facet) if context.facet and _ELLIPSIS.match(text) else reading
            )
        if act in ("handoff", "emergency", "status", "notice", "chitchat") and score >= 0.9 and p < 0.02:
            return Reading(act, score, "act")
        if not context.focus:
            if act == "more":
                return Reading("notice", score, "more of the list", topic="list")
            if scores.facet == "validity":
                return Reading("notice", score, "is it still valid, and nothing in focus", topic="validity")
            return Reading("unclear", score, "a follow-up without anything in focus")
        if act == "more" and len(context.focus) > 1 and re.search(r"第二|后一|另一", text):
            return self._policy(scores, context.focus[1:2], "the second one in focus", score)
        if act == "more":
            reading = self._policy(scores, context.focus, "more about the measure in focus", score)
            return replace(reading, facet="what", specified=True)
        return self._policy(scores, context.focus, "follow-up about the measure in focus", score, own=False)

    def _about_measures(
        self, text: str, scores: Scores, context: Context, best: list[tuple[int, float]], score: float
    ) -> Reading:
        limits = self.thresholds
        unlike = scores.near < limits.near and best[0][1] < limits.unlike
        # A question that leans on the one before is as little out of scope as one that stands alone.
        asked = score + scores.acts.get("followup", 0.0)
        if best[0][1] >= limits.answer and not context.focus and (asked * best[0][1] < limits.both or unlike):
            return self._ask(best[:1], score, "neither the act nor the measure is sure")
        if best[0][1] >= limits.answer:
            chosen = [best[0][0]] + [n for n, p in best[1:4] if p >= limits.second]
            return self._policy(scores, self._by_parts(chosen, scores), "measure named", score)
        # Without a measure of its own it goes on about the one in focus.
        if (
            context.focus
            and best[0][1] < limits.ask
            and (len(text) <= 16 or scores.acts.get("followup", 0) >= 0.05)
        ):
            return self._policy(scores, context.focus, "no measure of its own, one in focus", score)
        if best[0][1] >= limits.ask:
            if best[0][1] >= limits.lead * best[1][1] and (
                asked * best[0][1] >= limits.ahead or context.focus
            ):
                return self._policy(scores, (best[0][0],), "one measure far ahead", score)
            return self._ask(best, score, "no measure clearly ahead")
        if best[0][1] >= limits.faint and score >= 0.8 and best[0][1] >= limits.lead * best[1][1]:
            return self._policy(scores, (best[0][0],), "surely about a measure, one far ahead", score)
        if score >= 0.8 and best[0][1] >= limits.faint:
            return self._ask(best, score, "surely about a measure, none clear")
        return Reading("oos", score, "policy words, but no measure fits", topic="no_measure")

    def _by_parts(self, chosen: list[int], scores: Scores) -> tuple[int, ...]:
        """Drop what only a denied part names; add what another part names clearly.

        A part torn from its subject misleads (评审专家来不了 after 锅炉制造许可): what the whole message rules out
        is not added.
        """
        limits = self.thresholds
        affirmed = [p for p in scores.parts if not p.denied]
        denied = [p for p in scores.parts if p.denied]
        kept = [
            n
            for n in chosen
            if not any(p.measures.get(n, 0.0) >= limits.answer for p in denied)
            or any(p.measures.get(n, 0.0) >= limits.ask for p in affirmed)
        ]
        if denied and not affirmed:
            kept = chosen
        for part in affirmed:
            if not part.asks and not part.adds:
                continue
            number, p = max(part.measures.items(), key=lambda pair: pair[1], default=(0, 0.0))
            clear = p >= limits.part and part.act == "policy" and part.score >= limits.part
            # 另外… says itself that it is another matter, so less is enough; alone it might be asked back.
            clear = clear or (part.adds and p >= limits.answer and part.act in ("policy", "ambiguous"))
            if clear and number not in kept and scores.measures[number] >= limits.echo:
                kept.append(number)
        return tuple(kept[:4]) or tuple(chosen)

    def _out_of_scope(
        self, text: str, scores: Scores, context: Context, best: list[tuple[int, float]], score: float
    ) -> Reading:
        near = scores.acts.get("followup", 0.0) + scores.acts.get("policy", 0.0)
        if context.focus and context.last_kind == "policy" and len(text) <= 14 and near >= 0.35:
            return self._policy(scores, context.focus, "short, one in focus", score)
        if scores.acts.get("policy", 0.0) >= self.thresholds.doubt and best[0][1] >= self.thresholds.named:
            # Measured on held-out examples: two of three such messages are about the measure.
            return self._ask(best[:1], score, "names a measure, perhaps beside the notice")
        return Reading("oos", score, "out of scope")

    def _policy(
        self, scores: Scores, measures: tuple[int, ...], reason: str, score: float, *, own: bool = True
    ) -> Reading:
        """`own`: the message names its subject. A bare 能延几个月 is open only when the clause's cell is."""
        facet = scores.facet
        given = scores.given(facet, measures)
        return Reading(
            "policy",
            score,
            reason,
            tuple(measures),
            facet,
            given >= (0.5 if own else 0.2),
            extra={"given": round(given, 3)},
        )

    def _ask(self, best: list[tuple[int, float]], score: float, reason: str) -> Reading:
        return Reading("ask_back", score, reason, options=tuple(n for n, _ in best[:3]))
