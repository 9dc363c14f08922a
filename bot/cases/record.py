"""The record (登记内容) that an intake fills: draft, what is missing, the question, summary, cases.

Pure: a `Draft` is JSON between turns. Which fields a type needs stands in `intake.yml`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bot.cases import replies
from bot.cases.fields import (
    CONTACT,
    Entity,
    choice,
    display,
    fields_of,
    label,
    of_field,
    redacted,
    say,
    told_of,
    type_name,
    wording,
)

RecordType = Literal["complaint", "request", "report", "suggestion"]
Outcome = Literal["ask", "review", "submit", "cancelled"]

CANCEL, WHICH, REVIEW = "cancel", "which", "review"  # what may be asked besides a field


class Turn(BaseModel):
    """One message: raw text (or a button's label), the classifier's act, its guess of a field, entities."""

    model_config = ConfigDict(extra="ignore")

    text: str = ""
    act: str = "inform"
    field: str = ""
    entities: list[Entity] = Field(default_factory=list)


class Draft(BaseModel):
    """A running intake; `model_dump_json` and `model_validate_json` carry it between turns."""

    model_config = ConfigDict(extra="ignore")

    type: RecordType
    also_report: bool = False  # 投诉 and 举报 in one message: one intake, two cases (总局令第121号 Art 9)
    fields: dict[str, str] = Field(default_factory=dict)
    anonymous: bool | None = None  # of the 举报 part
    asked: str = ""
    again: str = ""  # the field whose question is being repeated
    privacy_shown: bool = False
    privacy_version: str = ""
    step: Literal["collecting", "review"] = "collecting"
    misses: int = 0
    skipped: list[str] = Field(default_factory=list)
    correcting: str = ""  # a filled field that is asked for again
    note: str = ""  # words heard before the story, kept for it
    fee: bool = False  # opened as a 投诉, led to 举报 (涉企收费)


class Question(NamedTuple):
    """What is asked, with buttons; a pressed button comes back as its label."""

    text: str
    choices: list[str]
    field: str


class Privacy(NamedTuple):
    """The privacy notice (隐私告知, 个人信息保护法 Art 17); shown with the first question."""

    version: str
    short: str
    full: str


class Step(NamedTuple):
    """The answer to a turn: the new draft, sentences to say, the question (None once it is over)."""

    draft: Draft
    say: list[str]
    question: Question | None
    outcome: Outcome
    privacy: Privacy | None = None


class Part(NamedTuple):
    """One case of a confirmed draft; an anonymous one holds nothing that tells who the citizen is."""

    type: RecordType
    fields: dict[str, str]
    anonymous: bool


def privacy_notice() -> Privacy:
    """The current notice."""
    return Privacy(**wording()["privacy"])


# -- which fields -----------------------------------------------------------------------------------


def nameless(draft: Draft) -> bool:
    """True for an anonymous report: nothing that tells who the citizen is may be kept."""
    return draft.type == "report" and draft.anonymous is True


def wanted(draft: Draft) -> list[str]:
    """Fields that this draft needs, in the order of asking."""
    names = fields_of(draft.type)
    if nameless(draft):
        names = [name for name in names if name not in CONTACT]
    if "injury" not in draft.fields and not replies.is_hurt(draft.fields.get("facts", "")):
        names = [name for name in names if name != "injury"]
    if draft.type == "complaint" and not draft.also_report:
        names = [name for name in names if name != "anonymous"]
    return names


def taken(draft: Draft) -> list[str]:
    """Fields that a message may give: the wanted ones and those that are only taken when told."""
    return [*wanted(draft), *(name for name in told_of(draft.type) if name not in wanted(draft))]


def missing(draft: Draft) -> list[str]:
    """Fields still to be asked for."""

    def open_(name: str) -> bool:
        if name == "anonymous":
            return draft.anonymous is None
        return name not in draft.fields and name not in draft.skipped

    return [name for name in wanted(draft) if open_(name)]


# -- asking -----------------------------------------------------------------------------------------


def question(draft: Draft) -> Question:
    """The question that is open now; also for asking again after an interruption or a reload."""
    if draft.asked == CANCEL:
        return Question(wording()["cancel"]["ask"], [choice("stop"), choice("resume")], CANCEL)
    if draft.asked == WHICH:
        labels = [label(name, draft.type) for name, _ in rows(draft)]
        return Question(wording()["correct"]["which"], [*labels, choice("resume")], WHICH)
    if draft.correcting and draft.correcting not in draft.fields and draft.correcting in missing(draft):
        return _ask(draft, draft.correcting)  # A number that came before its turn and was wrong.
    if draft.correcting:
        text = wording()["correct"]["value"].format(label=label(draft.correcting, draft.type))
        return Question(text, field_choices(draft, draft.correcting), draft.correcting)
    left = missing(draft)
    if left:
        return _ask(draft, left[0])
    return _review_question(draft)


def at_summary(draft: Draft, asked: str) -> bool:
    """True if the question about `asked` stands under the summary: a yes to it submits."""
    joint = draft.type == "complaint" and asked == "anonymous" and missing(draft) == ["anonymous"]
    return joint or (asked == REVIEW and not missing(draft))


def field_choices(draft: Draft, name: str) -> list[str]:
    """Buttons of a field's question."""
    return list(of_field(name, "choices", draft.type) or [])


def _ask(draft: Draft, name: str) -> Question:
    again = of_field(name, "again", draft.type) if draft.again == name else None
    if again:
        return Question(str(again), field_choices(draft, name), name)
    if at_summary(draft, name):
        # The last question of a joint record comes with the summary: one yes is enough for both.
        text = "\n".join((wording()["review"]["ask"], summary(draft), of_field(name, "with_summary", "any")))
        return Question(text, [choice("submit"), *field_choices(draft, name)], name)
    text = str(of_field(name, "ask", draft.type))
    kind = replies.generic_firm(draft.note + draft.fields.get("facts", ""))
    if name == "respondent" and kind and draft.type in ("complaint", "report"):
        text = f"是哪家{kind}、在什么地方？"
    respondent = draft.fields.get("respondent", "")
    if name == "respondent_address" and replies.is_platform(respondent):
        text = str(of_field(name, "platform", draft.type))
    text = text.replace("{respondent}", respondent if 0 < len(respondent) <= 20 else "对方")
    if name == "respondent" and "respondent_address" in draft.fields:
        text = text.replace("、在什么地方", "")
    extra = [choice("to_request"), choice("to_complaint")] if draft.fee and draft.type == "report" else []
    return Question(text, field_choices(draft, name) + (extra if name == "respondent" else []), name)


def _business(draft: Draft) -> bool:
    told = draft.fields.get("facts", "") + draft.note
    return draft.type == "complaint" and (replies.is_business(told) or "company" in draft.fields)


def _review_question(draft: Draft) -> Question:
    words = wording()["review"]
    lines = [words["ask"], summary(draft)]
    buttons = [choice("submit"), choice("change"), choice("quit")]
    if _business(draft) and not draft.also_report:
        lines.append(say("business"))
        buttons.insert(1, choice("to_request"))
    if draft.again == REVIEW:
        return Question(words["again"], buttons, REVIEW)
    lines.append(words["confirm"])
    return Question("\n".join(lines), buttons, REVIEW)


def rows(draft: Draft) -> list[tuple[str, str]]:
    """(field, value as shown) of the summary, in its order; personal numbers are masked."""
    words = wording()["review"]
    found: list[tuple[str, str]] = []
    names = [*wanted(draft)]
    for name in told_of(draft.type):
        if name in draft.fields and name not in names:
            names.insert(names.index("facts") + 1, name)
    if not nameless(draft):
        names.insert(names.index("phone") + 1 if "phone" in names else len(names), "address")
    for name in names:
        if name == "anonymous" and draft.anonymous is not None:
            real = words["anonymous_part" if draft.type == "complaint" else "anonymous"]
            found.append((name, real if draft.anonymous else words["real_name"]))
        elif name in draft.fields:
            found.append((name, display(name, draft.fields[name])))
        elif name == "address" and draft.type == "complaint":
            found.append((name, words["unfilled_address"]))
        elif name == "respondent_address" and name in draft.skipped:
            found.append((name, words["unfilled_respondent_address"]))
    return found


def summary(draft: Draft) -> str:
    """The numbered summary (核对) of what will be registered."""
    head = wording()["review"]["joint"] if draft.also_report else type_name(draft.type)
    lines = [f"【{head}】"]
    lines += [f"{n}. {label(name, draft.type)}：{shown}" for n, (name, shown) in enumerate(rows(draft), 1)]
    return "\n".join(lines)


def parts(draft: Draft) -> list[Part]:
    """The cases of a confirmed draft: one, or two of a joint one (投诉 first)."""
    kept = dict(draft.fields)
    if draft.note and draft.note not in kept.get("facts", ""):
        kept["facts"] = "\n".join(filter(None, [draft.note, kept.get("facts", "")]))
    secret = {
        name: redacted(value, draft.fields)
        for name, value in kept.items()
        if name not in (*CONTACT, "company")
    }
    if draft.type == "report" and draft.anonymous:
        return [Part("report", secret, True)]
    if draft.type == "suggestion" and "phone" not in kept:
        return [Part("suggestion", secret if "name" not in kept else kept, True)]
    found = [Part(draft.type, kept, False)]
    if draft.also_report and draft.type == "complaint":
        second = secret if draft.anonymous else kept
        found.append(
            Part("report", {k: v for k, v in second.items() if k != "request"}, bool(draft.anonymous))
        )
    return found
