"""Corrections (更正) of what a draft already holds: 电话说错了是1188, 不是欧亚是卓展."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.cases.fields import Entity, corrected_phone, digit_runs, wording
from bot.cases.hearing import Clause, clauses, hear, told
from bot.cases.replies import bare, wants
from bot.cases.shapes import is_filler

_FIELD_WORDS = {
    "address": "我的(?:地址|住址)|我家|住址|通讯地址|我住",
    "respondent_address": "地址|位置|地点|地方|路名|在哪",
    "phone": "电话|手机|号码|联系方式|尾号|[后末尾][一两二三四]位|前[三四七]位",
    "name": "名字|姓|我叫|称呼",
    "company": "我们(?:公司|单位|厂|店)|我(?:公司|单位|厂|店)|您的单位|单位名",
    "respondent": (
        "店名|商家|商户|店家|名称|公司名|超市名|被投诉|被举报|投诉的|举报的|哪家|那家店|平台名|对方"
    ),
    "request": "要求|诉求|希望|想要|赔偿|退款金额|金额",
    "facts": "经过|情况|事情|内容|时间|日期|意见|建议",
    "evidence": "证据|线索",
    "injury": "受伤|就医",
    "anonymous": "匿名|实名",
}
_CUE = re.compile(
    "[说写填记报打弄搞输给听](?:得|的)?(?:错|差)|错了|写错|不对|不太对|有误|不全|不完整|不准|漏了|改成|改为|改一下"
    "|改下|改改|更正|更改|修改|换成|应该是|应为|重新[说填写]|改"
)
_PAIRS = (
    re.compile("不是(?P<old>[^，,。；]{1,20}?)[，, ]*(?:而是|应该是|应是|是)(?P<new>[^，,。；]{1,30})"),
    re.compile("是(?P<new>[^，,。；不]{1,30})[，, ]*不是(?P<old>[^，,。；]{1,20})"),
)
_SUM = re.compile(
    r"(?:[\d.]+|[一二两三四五六七八九十百千万零]{2,}|[一二两三四五六七八九十](?=[块元]))(?:多|来)?[万千百]?(?:块钱|块|元|万元)?"
)
_SPELT = re.compile("[一-鿿]{1,4}的([一-鿿])$")
_SPELT_ALONE = re.compile("[是为][一-鿿]{2,4}的([一-鿿])(?![一-鿿])")
# 弓长张: people spell a surname by its parts.
_SURNAMES = re.compile(
    "(弓长张|立早章|木子李|双木林|耳东陈|口天吴|言午许|古月胡|草头黄|人可何|三横王|走肖赵"
    "|美女姜|文武斌|双口吕|干勾于|人则侯|女口如|禾火秋|关耳郑|十八子李|水工江|三点水江)"
)
_VALUE = re.compile("(?:改成|改为|换成|更正为|应该是|应为|应是|是|叫|在|为|:|：|姓)+(.+)$")
_TRIM = re.compile(
    r"^(?:[，,：: ]|的|是|叫|成|为|在)+|(?:[，,。！!？? ]|吧|啊|呀|哈|呢|才对|才是|那家|的名字|行不行?)+$"
)


@dataclass(frozen=True)
class Correction:
    """`field` gets `value`; without a value it is to be asked for again. `rest` is what else was said."""

    field: str
    value: str = ""
    rest: str = ""
    problem: str = ""


def named_field(text: str, allowed: list[str]) -> str:
    """The field a text names (地址, 电话…), or empty."""
    for name, words in _FIELD_WORDS.items():
        if name in allowed and re.search(words, text):
            return name
    # In a 诉求 there is no respondent's address, 地址 may be one's own.
    return "address" if re.search("地址", text) and "address" in allowed else ""


def find(
    text: str,
    entities: list[Entity],
    filled: dict[str, str],
    allowed: list[str],
    *,
    act: str = "",
    guess: str = "",
    reviewing: bool = False,
    asked: str = "",
) -> Correction | None:
    """The correction in `text`, or None. While a story is told only clear ones about filled fields count."""
    if re.search("对不对|是不是|对吗", text):
        return None  # Asked, not said.
    if found := _labelled(text, filled, allowed):
        return found
    if found := _pair(text, filled, allowed, reviewing):
        return found
    cut = clauses(text, entities)
    for i, clause in enumerate(cut):
        if not _CUE.search(clause.text) or len(clause.text) > 30:
            continue
        name = named_field(clause.text, allowed) or (
            named_field(cut[i - 1].text, allowed) if i and len(cut[i - 1].text) <= 14 else ""
        )
        if not name and (reviewing or act == "correct") and guess in allowed and not cut[i + 1 :]:
            name = guess
        if not name or (name not in filled and not reviewing and name != "anonymous"):
            continue
        if asked == "facts" and name not in ("phone", "name", "company"):
            continue
        return _from(name, text, cut, i, entities, filled)
    if (
        act == "correct"
        and guess in filled
        and (reviewing or guess in ("phone", "name"))
        and len(bare(text)) <= 20
    ):
        return _from(guess, text, cut, 0, entities, filled) if cut else None
    return None


def _labelled(text: str, filled: dict[str, str], allowed: list[str]) -> Correction | None:
    """被投诉方改为……: a line of the summary by its very label, as the intake card of a page sends it."""
    label, said, value = text.strip().partition("改为")
    names = [n for n in allowed if n != "anonymous" and label in wording()["fields"][n]["label"].values()]
    if not said or not value.strip() or not names:
        return None
    if names[0] == "phone":
        check = corrected_phone(filled.get("phone", ""), value)
        return Correction("phone", check.value, problem=check.problem)
    return Correction(names[0], value.strip())


def _rest(cut: list[Clause], used: range, spelling: bool = False) -> str:
    # 玫瑰的玫 only spells what was corrected.
    return "，".join(
        clause.text
        for i, clause in enumerate(cut)
        if i not in used
        and len(bare(clause.text)) > 2
        and not is_filler(clause.text)
        and not (spelling and _SPELT.fullmatch(clause.text))
    )


def _from(
    name: str, text: str, cut: list[Clause], i: int, entities: list[Entity], filled: dict[str, str]
) -> Correction:
    # The value stands in the clause itself, or in the next one: 电话错了，是1188.
    if name == "facts":
        return Correction(name, text.strip()) if len(bare(text)) >= 8 else Correction(name)
    start = i - 1 if i and len(cut[i - 1].text) <= 14 and named_field(cut[i - 1].text, [name]) else i
    for end in range(i, min(i + 3, len(cut))):
        piece = text[cut[start].start : cut[end].end]
        value, problem = _value(name, piece, cut[start].start, entities, filled)
        if name == "request" and _SUM.fullmatch(bare(value)):
            # 金额错了，是一万三: a sum alone is no wish; it belongs into the wish's words, or to the story.
            sums = _SUM.findall(filled.get("request", ""))
            if len(sums) != 1:
                return Correction("facts", text.strip())
            value = filled["request"].replace(sums[0], value)
        if value or problem:
            return Correction(name, value, _rest(cut, range(start, end + 1), name == "name"), problem)
    return Correction(name, rest=_rest(cut, range(start, i + 1)))


def _value(
    name: str, piece: str, offset: int, entities: list[Entity], filled: dict[str, str]
) -> tuple[str, str]:
    if name == "phone":
        check = corrected_phone(filled.get("phone", ""), piece)
        return check.value, check.problem
    if name == "name" and (spelt := respelt(filled.get("name", ""), piece)):
        return spelt, ""
    kinds = {
        "name": "name",
        "respondent": "company",
        "company": "company",
        "respondent_address": "address",
        "address": "address",
    }
    inside = [
        e for e in entities if e["entity"] == kinds.get(name) and offset <= e["start"] < offset + len(piece)
    ]
    cue = _CUE.search(piece)
    for entity in reversed(inside):
        if name != "name" or not cue or entity["start"] >= offset + cue.start():
            return str(entity["value"]), ""
    after = piece[cue.end() :] if cue else piece
    found = _VALUE.search(piece[cue.start() :] if cue else piece)
    value = _TRIM.sub("", found[1] if found else after)
    value = re.sub("^(?:了|一下|下|吧|的)+", "", value)
    if name == "name" and not re.fullmatch("[一-鿿A-Za-z·• ]{1,16}", value):
        return "", ""
    return (
        (value, "")
        if len(bare(value)) >= (1 if name == "name" else 2) and not _CUE.fullmatch(value)
        else ("", "")
    )


def respelt(old: str, text: str) -> str:
    """A name with one character told apart (是喜悦的悦，不是月亮的月), or empty.

    Without the wrong character the last one is meant, as surnames are spelt by their parts (弓长张).
    """
    if not old:
        return ""
    if parts := _SURNAMES.search(text):
        return parts[1][-1] + old[1:]
    for pair in _PAIRS:
        if match := pair.search(text):
            new = _SPELT.search(match["new"].strip())
            wrong = _SPELT.search(_TRIM.sub("", match["old"]))
            if new:
                at = old.find(wrong[1]) if wrong else -1
                return old[:at] + new[1] + old[at + 1 :] if at >= 0 else old[:-1] + new[1]
    spelt = _SPELT_ALONE.search(text)
    return old[:-1] + spelt[1] if spelt and len(old) > 1 else ""


def restated(
    text: str, entities: list[Entity], filled: dict[str, str], allowed: list[str]
) -> Correction | None:
    """A value said again while the summary is on the table: it replaces the old one. Short messages only."""
    if len(bare(text)) > 24:
        return None
    if "name" in filled and _SURNAMES.fullmatch(bare(text)):
        return Correction("name", respelt(filled["name"], text))
    if "phone" in filled and re.search("[后末尾][一两二三四]位", text):
        check = corrected_phone(filled["phone"], text)
        if check.value:
            return Correction("phone", check.value)
    instead = re.sub("^(?:那就|就|还是)?(?:改成|改为|换成)", "", text.strip())
    more = re.match("还要|还得|另外|再(?!说)|也要", instead)
    if "request" in filled and wants(instead) and more and len(told(instead)) > 1:
        return Correction("request", f"{filled['request']}；{instead}")
    if "request" in filled and wants(instead) and len(told(instead)) > 1 and instead != text.strip():
        return Correction("request", instead)
    heard = hear(text, entities, fields=allowed, asked="", filled={})
    for name in ("phone", "name", "company", "respondent", "respondent_address", "request"):
        if name in heard.values and name in filled and len(heard.told) < 3:
            return Correction(name, heard.values[name])
    again = re.fullmatch("(?:我|我的|名字|姓名)+(?:叫|是)([一-鿿]{2,4})", bare(text))
    return Correction("name", again[1]) if again and "name" in filled else None


def _pair(text: str, filled: dict[str, str], allowed: list[str], reviewing: bool) -> Correction | None:
    for pattern in _PAIRS:
        match = pattern.search(text)
        if not match:
            continue
        old, new = _TRIM.sub("", match["old"]), _TRIM.sub("", match["new"])
        rest = (text[: match.start()] + "，" + text[match.end() :]).strip("，,。 ")
        named = named_field(text[: match.end()], allowed)
        if _SPELT.search(match["new"].strip()) and "name" in filled and named in ("name", ""):
            rest = "" if named_field(rest, ["name"]) and len(bare(rest)) <= 6 else rest
            return Correction("name", respelt(filled["name"], match[0]), rest)
        if digit_runs(new) and "phone" in filled and (digit_runs(old) or named == "phone"):
            check = corrected_phone(filled["phone"], new)
            return Correction("phone", check.value, "" if len(bare(rest)) <= 6 else rest, check.problem)
        for name in sorted(filled, key=lambda n: (n != named, n == "facts")):
            value = filled[name]
            if name in allowed and name not in ("facts", "phone") and (old in value or value in old):
                return Correction(name, value.replace(old, new) if old in value else new, rest)
        if named and named in filled and named != "facts" and len(bare(rest)) <= 8:
            return Correction(named, new)
        if reviewing and old in filled.get("facts", ""):
            return Correction("facts", text)
    return None


_NUMBER = re.compile(
    "(?:第|改第?)?([1-9]|10|[一二三四五六七八九十])(?:个|条|项|处|点|号)?(?:错了?|不对"
    "|有错|有误|要改|改一下)?"
)


def item_number(text: str) -> int:
    """第3条, 3, 第三个不对 → 3; 0 if the text is no number of a summary's line."""
    found = _NUMBER.fullmatch(bare(text))
    if not found:
        return 0
    return int(found[1]) if found[1].isdigit() else "一二三四五六七八九十".index(found[1]) + 1
