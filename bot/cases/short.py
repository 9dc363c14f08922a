"""An intake's question for a narrow channel (SMS): the summary in one paragraph, long values cut, no name in full."""

from __future__ import annotations

from bot.cases.fields import label, of_field, type_name
from bot.cases.record import Draft, at_summary, question, rows
from bot.crypto import mask_text

_LONG = {"facts": 40, "request": 24, "respondent": 16, "respondent_address": 16}
_REST = 20


def _value(name: str, shown: str) -> str:
    if name in ("name", "address"):
        return "已记" if name == "address" else f"{shown[0]}{'*' * min(len(shown) - 1, 2)}"
    room = _LONG.get(name, _REST)
    flat = mask_text(" ".join(shown.split()))
    return flat if len(flat) <= room else f"{flat[: room - 1]}…"


def short_question(draft: Draft) -> str:
    """The question that is open now; under the summary its short form, which asks for 确认提交."""
    asked = question(draft)
    if not at_summary(draft, asked.field) or draft.again == asked.field:
        return asked.text
    shown = "；".join(
        f"{label(name, draft.type)}：{_value(name, value)}"
        for name, value in rows(draft)
        if name in draft.fields
    )
    head = "投诉和举报" if draft.also_report else type_name(draft.type)
    last = of_field(asked.field, "with_summary", "any") if asked.field == "anonymous" else "对吗？"
    return f"请核对{head}：{shown}。{last}"
