"""What must be gone from a citizen's words before they become a training example: everything personal.

`scrub` takes out what can be recognised; `personal` finds what is left over and is stricter, because its answer is a
question to a person, not a change of the text (个人信息保护法 Art 4: what identifies somebody is personal).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.models import Case, CaseDraft
from bot.crypto import mask_text

# Placeholders as people say them: the models must not learn brackets or asterisks.
SOMEBODY, FIRM, PLACE, NUMBER = "某某", "某单位", "某地", "某号码"
FIELDS = {
    "name": SOMEBODY,
    "company": FIRM,
    "respondent": FIRM,
    "address": PLACE,
    "respondent_address": PLACE,
}

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴"
    "夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
_TITLE = "先生|女士|小姐|大爷|大娘|阿姨|师傅|老师"
_CALLED = re.compile(
    r"(我叫|我姓|免贵姓|本人姓|我的名字是|姓名[是为：:]?|联系人[是为：:]?|叫我)(?!某某)[一-鿿]{1,3}?"
    rf"(?=[，,。；;、\s]|电话|手机|{_TITLE}|$)"
)
_TITLED = re.compile(rf"[{_SURNAMES}][一-鿿]?(?={_TITLE})")
_MASKED = re.compile(r"\d*\*{3,}\d*")
# An order number is nobody's name, but it leads to one.
_DIGITS = re.compile(r"[0-9０-９](?:[ \-–—·]?[0-9０-９]){6,}")
_MAIL = re.compile(r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")
_LEFT = {
    "号码": _DIGITS,
    "打码的号码": _MASKED,
    "邮箱": _MAIL,
    "姓名": _CALLED,
    "称呼": _TITLED,
    "门牌": re.compile(r"[0-9一二三四五六七八九十]+(号楼|栋|单元|室(?!外|内))"),
    "账号": re.compile(r"(微信号?|QQ|qq|抖音号|账号)[是：: ]{0,2}[A-Za-z0-9_\-]{5,}"),
}


def scrub(text: str, known: Iterable[tuple[str, str]] = ()) -> str:
    """`text` on one line without numbers, names and what `known` gives as (field, value)."""
    flat = re.sub(r"\s+", " ", text).strip()
    for field, value in sorted(known, key=lambda pair: -len(pair[1])):
        if field in FIELDS and len(value) >= 2:
            flat = flat.replace(value, FIELDS[field])
    flat = _MASKED.sub(NUMBER, mask_text(flat))
    flat = _MAIL.sub(NUMBER, _DIGITS.sub(NUMBER, flat))
    flat = _CALLED.sub(lambda m: f"{m[1]}{SOMEBODY}", flat)
    return _TITLED.sub(SOMEBODY, flat)


def personal(text: str, known: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Kinds of personal data that `text` still holds; empty when none was found."""
    found = [kind for kind, expression in _LEFT.items() if expression.search(text)]
    if mask_text(text) != text:
        found.append("证件或电话")
    if any(field in FIELDS and len(value) >= 2 and value in text for field, value in known):
        found.append("登记里的姓名、单位或地址")
    return found


def known_of(session: Session, conversation_ids: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """(field, value) of names, firms and places that the cases and drafts of conversations hold."""
    ids = list(set(conversation_ids))
    found: dict[str, list[tuple[str, str]]] = {each: [] for each in ids}
    cases = session.execute(select(Case.conversation_id, Case.fields).where(Case.conversation_id.in_(ids)))
    drafts = session.execute(
        select(CaseDraft.conversation_id, CaseDraft.data).where(CaseDraft.conversation_id.in_(ids))
    )
    told = [*((each, fields) for each, fields in cases), *((e, (d or {}).get("fields")) for e, d in drafts)]
    for conversation_id, fields in told:
        for name, value in (fields or {}).items():
            if name in FIELDS and isinstance(value, str):
                found[conversation_id].append((name, value))
    return found
