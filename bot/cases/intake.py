"""The dialogue of an intake (登记): one question at a time until the record is complete and confirmed.

`begin` opens a draft with the citizen's first message, `advance` takes one further message, `question` asks
again after an interruption or a reload, `summary` is the numbered summary, `parts` is what the case store
gets. Pure: no database, no Rasa, no clock; a `Draft` is JSON between turns. Rules: domain.md 1.2–1.4, 4.3,
5.1. What is said stands in `intake.yml`.

A turn is offered to the steps of `_STEPS` in order; the first that answers ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from bot.cases import corrections, hearing, replies, shapes
from bot.cases.fields import (
    CONTACT,
    Entity,
    choice,
    display,
    label,
    of_field,
    optional,
    redacted,
    say,
    type_name,
    without_documents,
    wording,
)
from bot.cases.record import (
    CANCEL,
    REVIEW,
    WHICH,
    Draft,
    Outcome,
    Part,
    Privacy,
    Question,
    RecordType,
    Step,
    Turn,
    at_summary,
    field_choices,
    missing,
    nameless,
    parts,
    privacy_notice,
    question,
    rows,
    summary,
    taken,
    wanted,
)

__all__ = [
    "Draft",
    "Outcome",
    "Part",
    "Privacy",
    "Question",
    "RecordType",
    "Step",
    "Turn",
    "advance",
    "begin",
    "missing",
    "parts",
    "privacy_notice",
    "question",
    "summary",
]

STORY = 3  # Characters besides opening words and values from which on a message tells something.


# -- one turn ---------------------------------------------------------------------------------------


class _Turn:
    """What the steps share: the draft being changed, the cleaned message, what will be said."""

    def __init__(self, draft: Draft, turn: Turn) -> None:
        self.draft = draft.model_copy(deep=True)
        known = [e for e in (_placed(turn.text, e) for e in turn.entities) if e]
        self.text, self.entities, masked = without_documents(turn.text, known)
        self.act, self.guess = turn.act, turn.field
        self.lines: list[str] = [say("masked")] if masked else []
        self.masked = masked
        self.was = draft.asked  # what this message answers
        self.before = (dict(draft.fields), draft.anonymous, draft.type, draft.also_report, draft.asked)
        # A question that is repeated takes an answer that it would not have taken at first.
        self.insist = draft.misses > 0 or bool(draft.asked and draft.again == draft.asked)

    def end(self, *lines: str, outcome: Outcome | None = None) -> Step:
        draft, spoken = self.draft, [*self.lines, *(line for line in lines if line)]
        if outcome in ("submit", "cancelled"):
            draft.asked = ""
            return Step(draft, spoken, None, outcome)
        if draft.asked not in (CANCEL, WHICH):
            draft.step = "collecting" if missing(draft) else "review"
        draft.again = ""
        asked = question(draft)
        now = (draft.fields, draft.anonymous, draft.type, draft.also_report, asked.field)
        # A long summary is not said twice, a question not in the same words.
        early = asked.field == draft.correcting and asked.field not in draft.fields
        if early or (asked.field == self.was and (not at_summary(draft, asked.field) or now == self.before)):
            draft.again = asked.field
            asked = question(draft)
        draft.asked = asked.field
        return Step(draft, spoken, asked, "review" if asked.field == REVIEW else "ask")

    def miss(self, *lines: str) -> Step:
        self.draft.misses += 1
        helped = self.draft.misses >= 2 and not any("人工" in line for line in lines)
        return self.end(*lines, say("person") if helped else "")

    def put(self, name: str, value: str) -> None:
        self.draft.fields[name] = value
        self.draft.misses = 0
        if self.draft.correcting == name:
            self.draft.correcting = ""
        if name in self.draft.skipped:
            self.draft.skipped.remove(name)

    def discreet(self, words: str) -> str:
        """`words` as they may be stored: without the citizen's name and number if the report is anonymous."""
        if not nameless(self.draft):
            return words
        for piece in hearing.own_contacts(self.text, self.entities):
            words = words.replace(piece, "〔不记〕")
        return redacted(words, self.draft.fields)

    def tell(self, words: str) -> None:
        """Add to the story; nothing of what the citizen said is lost."""
        words = self.discreet(words)
        told = self.draft.fields.get("facts", "")
        if told and words not in told:
            self.draft.fields["facts"] = f"{told}\n{words}"
        elif not told:
            note = "\n".join(filter(None, [self.draft.note, words]))
            # What was said by the way may be the whole story; then it is not asked for again.
            enough = len(hearing.told(words)) >= STORY and self.draft.asked in (
                "respondent",
                "respondent_address",
            )
            self.draft.note = "" if enough else note
            if enough:
                self.draft.fields["facts"] = note


def _placed(text: str, entity: Entity) -> Entity | None:
    """The entity with usable positions; engines other than ours may leave them out."""
    value, start, end = str(entity.get("value", "")), entity.get("start"), entity.get("end")
    if not entity.get("entity") or not value:
        return None
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text):
        return {**entity, "value": value}
    at = text.find(value)
    return {**entity, "value": value, "start": at, "end": at + len(value)} if at >= 0 else None


def begin(type: RecordType, turn: Turn, also_report: bool = False) -> Step:
    """Open a draft with the citizen's first message.

    The whole message is kept as the story, the fields it gives are filled, the privacy notice is shown.
    A firm's 投诉 about fees is led to 举报 (涉企收费) and says so; the citizen may choose otherwise.
    """
    notice = privacy_notice()
    both = also_report or replies.joins_report(turn.text)
    draft = Draft(type=type, also_report=both and type == "complaint", privacy_shown=True)
    draft.privacy_version = notice.version
    now = _Turn(draft, turn)
    draft = now.draft
    started = say_started(draft)
    if (
        type == "complaint"
        and not draft.also_report
        and replies.is_business(now.text)
        and replies.is_fee(now.text)
    ):
        draft.type, draft.fee, started = "report", True, say("right_door")
    now.lines.append(started)
    heard = hearing.hear(now.text, now.entities, fields=taken(draft), asked="", filled={})
    _fill(now, heard)
    if len(heard.told) >= STORY and not (type == "suggestion" and replies.announces(now.text)):
        now.put("facts", heard.story)
    elif heard.told or now.entities or replies.generic_firm(now.text):
        draft.note = heard.story  # 我要投诉 alone tells nothing.
    # After the fields, so that the name is known that must go.
    wish = replies.wish_of_anonymity(now.text)
    wished = _set_anonymity(now, wish) if wish is not None else ""
    new = [display(name, draft.fields[name]) for name in heard.values if name in draft.fields]
    noted = _noted(new, say("story") if "facts" in draft.fields else "")
    left = [label(name, draft.type) for name in missing(draft)]
    if noted and left:
        noted += say("missing", what="、".join(left))
    step = now.end(notice.short, noted, wished, heard.phone_problem)
    return step._replace(privacy=notice)


def say_started(draft: Draft) -> str:
    """The first sentence of an intake."""
    return str(wording()["say"]["started"]["joint" if draft.also_report else draft.type])


def advance(draft: Draft, turn: Turn) -> Step:
    """Take one message of a running intake. The given draft is left as it is; the step holds the new one."""
    now = _Turn(draft, turn)
    if not replies.has_words(now.text):
        return now.miss(say("empty"))
    for take in _STEPS:
        if step := take(now):
            return step
    raise AssertionError("the last step answers every turn")


def _stopping(now: _Turn) -> Step | None:
    """不登记了: confirmed once."""
    draft, text = now.draft, now.text
    if draft.asked == CANCEL:
        draft.asked = ""
        if replies.is_cancel(text, now.act) or (
            replies.is_yes(text, now.act) and not replies.is_resume(text)
        ):
            return now.end(say("cancelled"), outcome="cancelled")
        if (
            replies.is_resume(text, now.act)
            or replies.is_no(text, now.act)
            or replies.bare(text) in ("不", "别", "先不")
        ):
            return now.end(say("resumed"))
        return None
    if replies.is_cancel(text, now.act):
        draft.asked = CANCEL
        return now.end()
    return None


def _resuming(now: _Turn) -> Step | None:
    if replies.is_resume(now.text, now.act):
        now.draft.asked = now.draft.correcting = ""
        return now.end(say("resumed"))
    return None


def _switching(now: _Turn) -> Step | None:
    """改按企业诉求登记: the fields stay, the type changes."""
    draft = now.draft
    type_ = replies.switch_of_type(now.text)
    if now.text.strip() == choice("to_complaint"):
        type_ = "complaint"
    if not type_:
        return None
    draft.type, draft.also_report, draft.asked, draft.correcting = cast(RecordType, type_), False, "", ""
    draft.fee = False
    if type_ != "report":
        draft.anonymous = None
    elif replies.wish_of_anonymity(now.text):
        _set_anonymity(now, True)
    return now.end(say("switched", type=type_name(type_)))


def _aside(now: _Turn) -> Step | None:
    """那我就投诉, 先别急, another case's state: nothing to write down, and no miss."""
    text = now.text
    if now.draft.asked in (CANCEL, WHICH):
        return None
    if replies.asks_status(text, now.act) and not (now.was == "facts" and now.act != "status"):
        return now.end(say("other_case"))
    if at_summary(now.draft, now.draft.asked):
        return None
    if now.draft.type == "suggestion" and now.was == "facts" and replies.announces(text):
        return now.end(
            say("resumed")
        )  # Said again, perhaps because the answer got lost: it is no suggestion yet.
    if replies.is_wait(text) and not now.entities and not shapes.is_story(text, frozenset()):
        return now.end(say("take_time"))
    said = [clause.text for clause in hearing.clauses(text, now.entities)]
    if any(map(replies.is_resume_talk, said)) and all(map(shapes.is_filler, said)):
        return now.end(say("resumed"))
    if replies.is_agreement(text) and not replies.joins_report(text):
        return now.end(say("pleasantry"))
    return None


def _set_anonymity(now: _Turn, wish: bool) -> str:
    """Take the wish and return what to say; a 投诉 or 诉求 cannot be anonymous (domain.md 1.3)."""
    draft = now.draft
    if draft.type == "report":
        draft.anonymous = wish
        if wish:
            # The wish comes first: nothing that tells who it is stays in the draft.
            for name in ("facts", "evidence"):
                if name in draft.fields:
                    draft.fields[name] = redacted(draft.fields[name], draft.fields)
            draft.note = redacted(draft.note, draft.fields)
            for name in CONTACT:
                draft.fields.pop(name, None)
        return say("anonymous" if wish else "real_name")
    if draft.type == "complaint" and draft.also_report:
        draft.anonymous = wish
        return say("anonymous_report" if wish else "real_name")
    if draft.type == "suggestion" and wish:
        draft.skipped += [name for name in ("name", "phone") if name not in draft.skipped]
        for name in CONTACT:
            draft.fields.pop(name, None)
        return say("anonymous")
    return say("no_anonymous") if wish else ""


def _anonymity(now: _Turn) -> Step | None:
    draft = now.draft
    if at_summary(draft, draft.asked) and _agrees(now):
        return None
    wish = replies.wish_of_anonymity(now.text)
    if draft.type == "complaint" and not draft.also_report and replies.joins_report(now.text):
        draft.also_report = True
        now.lines.append(say("joined"))
        if wish is None:
            now.tell(now.text.strip())
            return now.end()
    if wish is None:
        if draft.asked == "anonymous" and not replies.is_question(now.text):
            heard = hearing.hear(now.text, now.entities, fields=taken(draft), asked="", filled=draft.fields)
            if "name" in heard.values or "phone" in heard.values:
                draft.anonymous = False
                return None
        return None
    line = _set_anonymity(now, wish)
    if draft.asked == "anonymous":
        draft.asked = ""
    if len(replies.bare(now.text)) <= 16 and not now.entities:
        return now.end(line)
    now.lines += [line] if line else []
    return None


def _reviewing(now: _Turn) -> Step | None:
    """The summary is on the table: an explicit yes submits, a no asks what is wrong."""
    draft, text = now.draft, now.text
    if draft.asked == WHICH:
        return _which(now)
    if not at_summary(draft, draft.asked):
        return None
    if replies.is_wait(text):
        return now.end(say("pleasantry"))
    if _agrees(now):
        if draft.type == "complaint" and replies.joins_report(text):
            draft.also_report = True
        if draft.also_report:
            draft.anonymous = bool(draft.anonymous)  # 确认提交 without a word about it: by name.
        return now.end(outcome="submit")
    if replies.is_no(text, now.act) or text.strip() == choice("change"):
        draft.asked = WHICH
        return now.end()
    if text.strip().startswith(("第", "改第")) and (number := corrections.item_number(text)):
        shown = [name for name, _ in rows(draft)]
        return _ask_again(now, shown[number - 1]) if number <= len(shown) else None
    again = corrections.restated(text, now.entities, draft.fields, [*taken(draft), "address"])
    if again and not corrections.find(text, now.entities, draft.fields, taken(draft), reviewing=True):
        return _apply(now, again)
    if replies.is_question(text) and not now.entities and len(replies.bare(text)) <= 20:
        return now.end(say("how"))
    return None


def _agrees(now: _Turn) -> bool:
    if now.masked or any(e["entity"] in ("phone", "name", "address", "company") for e in now.entities):
        return False
    return replies.is_yes(now.text, now.act) or replies.is_submit(now.text, now.act)


def _which(now: _Turn) -> Step | None:
    """Which item is wrong: its label, its number, or the right value at once."""
    draft, text = now.draft, now.text.strip()
    shown = [name for name, _ in rows(draft)]
    by_label = {label(name, draft.type): name for name in shown}
    number = corrections.item_number(text)
    name = by_label.get(text) or (shown[number - 1] if 0 < number <= len(shown) else "")
    draft.asked = ""
    if name:
        return _ask_again(now, name)
    if found := _correct(now):
        return found
    if name := corrections.named_field(text, shown):
        heard = hearing.hear(text, now.entities, fields=taken(draft), asked=name, filled=draft.fields)
        if len(replies.bare(text)) <= 8 or name not in heard.values:
            return _ask_again(now, name)
    return None


def _ask_again(now: _Turn, name: str) -> Step:
    now.draft.asked = ""
    if name == "anonymous":
        now.draft.anonymous = None
    else:
        now.draft.correcting = name
    return now.end()


def _correct(now: _Turn) -> Step | None:
    draft = now.draft
    allowed = [*taken(draft), "address"]
    found = corrections.find(
        now.text, now.entities, draft.fields, allowed,
        act=now.act, guess=now.guess, asked=draft.asked,
        reviewing=draft.step == "review" or at_summary(draft, draft.asked),
    )  # fmt: skip
    if found is None or (found.field == draft.asked and draft.asked not in draft.fields):
        return None
    return _apply(now, found)


def _apply(now: _Turn, found: corrections.Correction) -> Step:
    draft = now.draft
    asked = draft.asked if draft.asked in missing(draft) else ""
    if found.rest:
        entities = [e for e in (_placed(found.rest, {**e, "start": None}) for e in now.entities) if e]
        _hear(now, found.rest, entities, asked)
    if found.problem or not found.value:
        if found.field in draft.fields or not missing(draft):
            draft.correcting = found.field
        return now.end(found.problem)
    if found.field == "facts":
        now.tell(found.value)
        wish = draft.fields.get("request", "")
        money = any(e["entity"] == "amount" and e["value"] not in wish for e in now.entities)
        also = money and re.search(r"[\d一二两三四五六七八九十百千万]{2}|[\d一二三四五六七八九]+[块元]", wish)
        return now.end(wording()["correct"]["done"], say("amount_too", value=wish) if also else "")
    now.put(found.field, found.value)
    shown = display(found.field, draft.fields[found.field])
    return now.end(say("changed", label=label(found.field, draft.type), value=shown))


def _skipping(now: _Turn) -> Step | None:
    """Skips an optional field; for the others says why they are needed."""
    draft, name = now.draft, now.draft.asked
    if name not in wanted(draft) or name == "injury" or (name == "facts" and draft.type == "suggestion"):
        return None
    why = replies.asks_why(now.text) and name != "facts" and not now.entities
    label_pressed = now.text.strip() in field_choices(draft, name) and "跳过" in now.text
    if not (why or label_pressed or replies.is_skip(now.text, now.act)):
        return None
    if not why and name in draft.fields:
        draft.correcting = ""
        return now.end(say("resumed"))
    if not why and optional(draft.type, name):
        both = draft.type == "suggestion" and name == "name"
        draft.skipped += ["name", "phone"] if both else [name]
        draft.misses = 0
        return now.end(say("skipped"))
    return now.miss(str(of_field(name, "why", draft.type) or say("later")))


def _answering(now: _Turn) -> Step:
    """Takes what the message gives; always answers."""
    draft, text = now.draft, now.text
    asked = draft.asked if draft.asked in wanted(draft) else ""
    if asked not in ("injury", "evidence") and (replies.is_pleasantry(text) or _agrees(now)):
        return _nodding(now, asked)
    question_only = not now.entities and replies.is_question(text) and len(replies.bare(text)) <= 20
    wish = asked == "request" and re.search("退|赔|换|修|道歉", text)
    if asked not in ("", "facts") and question_only and not wish:
        return now.miss(say("later"))
    if asked == "facts" and len(replies.bare(text)) < 4 and not now.entities:
        return now.miss(str(of_field("facts", "why", draft.type)))
    facts = draft.fields.get("facts", "")
    lines = _hear(now, text, now.entities, asked)
    if not lines:
        first = draft.misses == 0 or not asked
        return now.miss(
            say("unclear") if first else str(of_field(asked, "why", draft.type) or say("unclear"))
        )
    passes = asked in ("respondent_address", "injury") or (
        asked == "evidence" and draft.fields.get("facts", "") != facts
    )
    if passes and asked not in draft.fields:
        # Who tells something else instead has no answer to it; the summary shows the gap.
        draft.skipped.append(asked)
    return now.end(*lines)


def _nodding(now: _Turn, asked: str) -> Step:
    """A nod, thanks or 提交吧 while something is still missing."""
    draft = now.draft
    if draft.step == "review" and not asked:
        return now.end(say("how"))
    if draft.correcting in draft.fields:
        draft.correcting = draft.asked = ""  # 都对了: nothing is to be corrected after all.
        return now.end(say("pleasantry"))
    left = [label(name, draft.type) for name in missing(draft)]
    if left and replies.is_submit(now.text, now.act) and re.search("提交|确认|[报交]吧|上去", now.text):
        return now.end(say("nearly", what="、".join(left)))
    return now.end(say("pleasantry"))


def _hear(now: _Turn, text: str, entities: list[Entity], asked: str) -> list[str]:
    """Fill the draft from `text` and return what to say; the rest goes to the story."""
    draft = now.draft
    before = dict(draft.fields)
    heard = hearing.hear(
        text, entities, fields=taken(draft), asked=asked, filled=draft.fields, insist=now.insist
    )
    replaced = asked in before
    story = heard.rest
    if asked == "facts":
        story = heard.story if not replaced and not heard.values else heard.rest
        if draft.type == "suggestion" or (not story and not heard.values):
            story = heard.story
    more = bool(story) and not (heard.phone_problem and asked == "phone")
    if more and asked == "facts" and not replaced:
        now.put("facts", now.discreet("\n".join(filter(None, [draft.note, story]))))
        draft.note = ""
    elif more:
        now.tell(story)
    new = _fill(now, heard)
    if heard.phone_problem and "phone" in missing(draft):
        draft.correcting = "phone"  # Better said again at once than two questions later.
    problem = [heard.phone_problem] if heard.phone_problem else []
    if replaced and asked in heard.values:
        shown = display(asked, draft.fields[asked])
        return [say("changed", label=label(asked, draft.type), value=shown), *problem]
    turns = wording()["say"]["more"]
    told = say("story") if asked == "facts" else turns[draft.fields.get("facts", "").count("\n") % len(turns)]
    noted = _noted(new, told if more else "")
    return [*filter(None, [noted]), *problem]


def _noted(values: list[str], story: str) -> str:
    """记下了：…; `story` is what to say if the story alone was added to."""
    if not values:
        return story
    what = "；".join(values)
    return say("noted", what=say("and_story", what=what) if story else what)


def _fill(now: _Turn, heard: hearing.Heard) -> list[str]:
    """Put what was heard into the draft; the names of the new values, for the citizen."""
    shown = []
    for name, value in heard.values.items():
        if name == "facts" or (name in CONTACT and nameless(now.draft)):
            continue
        now.put(name, value)
        shown.append(display(name, value))
    return shown


_STEPS: tuple[Callable[[_Turn], Step | None], ...] = (
    _stopping, _resuming, _switching, _aside, _anonymity, _reviewing, _correct, _skipping, _answering,
)  # fmt: skip
