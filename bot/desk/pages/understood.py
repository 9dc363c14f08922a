"""What the bot understood of a message, in words for staff."""

from __future__ import annotations

from typing import Any

from bot.crypto import mask_text
from bot.desk.copilot_words import act_label, why
from bot.policy import load

ENTITIES = {
    "phone": "电话",
    "phone_invalid": "不完整的电话",
    "name": "姓名",
    "company": "单位",
    "address": "地址",
    "amount": "金额",
    "date": "日期",
    "uscc": "统一社会信用代码",
    "id_card": "证件号",
    "bank_card": "银行卡号",
    "case_number": "工单号",
    "platform": "平台",
    "province": "地区",
}
LEAST = 0.03  # scores under this are noise
MOST = 4


def understood(reading: dict[str, Any] | None) -> dict[str, Any] | None:
    """A reading for the template `message`; None when there was none."""
    if not reading or not reading.get("intent"):
        return None
    pack = load()
    act = str(reading["intent"])
    chosen = [int(n) for n in reading.get("measures") or []]
    scores = {int(n): float(p) for n, p in (reading.get("scores") or {}).items()}
    order = dict.fromkeys(
        [*chosen, *(n for n, p in sorted(scores.items(), key=lambda x: -x[1]) if p >= LEAST)]
    )
    measures = [
        {"number": n, "title": pack.measures[n].short, "score": scores.get(n, 0.0), "chosen": n in chosen}
        for n in list(order)[:MOST]
        if n in pack.measures
    ]
    acts = sorted((reading.get("acts") or {}).items(), key=lambda x: -float(x[1]))
    facet = str(reading.get("facet") or "")
    named = pack.notice.facets[facet].name if facet in pack.notice.facets else ""
    if named and reading.get("specified") is False:
        named += "（通知没有写）"
    score = float(reading.get("confidence") or 0)
    brief = [f"{act_label(act)}{f' {score:.0%}' if score else ''}"]
    brief += [f"第{n}条" for n in chosen] + ([named] if named and chosen else [])
    return {
        "brief": " · ".join(brief),
        "act": act_label(act),
        "acts": [
            {"label": act_label(name), "score": float(p)} for name, p in acts[:MOST] if float(p) >= LEAST
        ],
        "measures": measures,
        "facet": named,
        "entities": [
            f"{ENTITIES.get(str(e.get('entity')), str(e.get('entity')))} {mask_text(str(e.get('value')))}"
            for e in reading.get("entities") or []
            if e.get("value")
        ],
        "why": why(str(reading.get("reason", ""))),
    }
