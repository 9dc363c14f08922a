"""What one message of an intake (登记) gives: values for the fields, and the rest that belongs to the story.

Clause by clause over the engine's entities (`bot/engine/entities.py`). Whose firm, phone, name and address it
is, is read from the words before. Nothing is thrown away: what fits no field comes back as `rest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.cases.fields import Entity, check_phone, corrected_phone, digit_runs
from bot.cases.replies import (
    bare,
    has_words,
    is_generic,
    is_pleasantry,
    is_question,
    is_skip,
    wants,
    wish_of_anonymity,
    without_generic,
)
from bot.crypto import mask_phone


@dataclass(frozen=True)
class Clause:
    """Characters `start` to `end` of the message, between two marks of punctuation."""

    text: str
    start: int
    end: int


_CUT = re.compile(r"[，,。；;！!？?\n、]+|(?<=[一-鿿])\s+|\s+(?=[一-鿿])")


def clauses(text: str, entities: list[Entity]) -> list[Clause]:
    """The clauses of `text`; nothing is cut inside an entity (139，0432，1187)."""
    found, start = [], 0
    for cut in [*_CUT.finditer(text), None]:
        at = cut.start() if cut else len(text)
        if cut and any(e["start"] < at < e["end"] for e in entities):
            continue
        if text[start:at].strip():
            found.append(Clause(text[start:at].strip(), start, at))
        start = cut.end() if cut else at
    return found


_OTHERS = (
    "商家|店家|店里|店主|他家|她家|他们|她们|老板娘?|店员|店长|经理|销售员?|客服|导购|主播"
    "|对方|平台|公司|厂家|驾校|教练|售后|卖家|法人|负责人|被投诉人|被举报人|中介|师傅|他"
    "|她"
)
_OTHERS_PHONE = re.compile(
    f"(?:{_OTHERS})(?:的)?(?:联系)?(?:电话|手机|号码|微信|联系方式|座机)[^，。]{{0,6}}$"
    f"|(?:打|拨|加)(?:他|她|对方|商家|店家)[^，。]{{0,8}}$"
)
_OTHERS_NAME = re.compile(f"(?:{_OTHERS}|员|长)(?:姓|叫|是|名叫|名字叫|，|：|:)?$")
_OWN_FIRM = re.compile(
    "(?:我们|咱们?|俺们|我|俺|本)(?:是|的|家|开了?|这|单位|公司|厂|店|企业|叫|名称|名字|经营|代表|们|个|一)*$"
)
_OWN_FIRM_AFTER = re.compile(
    r"^的?(?:老板|负责人|法人|员工|会计|店主|业主|经理|财务)(?![^，。]{0,4}(?:不|说|骂))"
)
_OWN_HOME = re.compile(
    "(?:我|俺|咱)(?:们)?(?:家)?(?:就)?住(?:在|址)?|(?:^|[，,。 ])(?:家?住(?:在|址)?|家在)"
    "|通讯地址|我的(?:地址|住址)|住址|我家(?:地址)?(?:是|在)(?!.{0,8}(?:楼下|旁边|附近"
    "|对面))"
)
_FINE = re.compile("[路街道号村镇屯乡巷弄栋]|小区|广场|商场|市场|大厦|花园|那边|附近|对面|旁边|楼|区|县|园")
_PLATFORMS = re.compile("^(?:淘宝|天猫|京东|拼多多|抖音|快手|美团|饿了么|闲鱼|唯品会|得物|转转|小红书|微信)")
_CUES = re.compile(
    "(?:我|俺|咱)?(?:的)?(?:联系)?(?:电话|手机|手机号码?|号码|联系方式|姓名|名字|称呼|地址"
    "|住址|店名|名称)(?:号码?)?(?:是|叫|为|:|：)*|我叫|我姓|免贵姓|我是|叫我|我在|我家?住在?"
    "|家?住在?|就是|就在|店?叫|"
    "在|是|叫|的|那个|这个|嗯+|啊|呃|哎呀?|喂|你好|您好|请问|那|就|吧|呢|呀|哈|我|要|想"
    "|投诉|举报|反映|他家|那家|这家|那儿|有个|一家|先生|女士|:|：|去的|家"
)
_PROSE = re.compile("[买不了退我俺他她给想要说吗没？?咋]|怎么|什么|啥|记不")
_PERSON = re.compile(
    r"[一-鿿]{1,4}(?:先生|女士|小姐|大爷|大娘|阿姨)?|[一-鿿]{1,8}[·•.][一-鿿]{1,8}|[A-Za-z][A-Za-z .]{1,30}"
)
_NO_PERSON = re.compile(
    "投诉|举报|退钱|退款|人工|[啥什哪吗谁咋怎你您它这那]|干嘛|名字|姓名|电话|赶紧|着急"
    "|客服|机器人|等|算了|登记|提交|赔"
)


def core(text: str) -> str:
    """What is left of `text` without the words that only lead to a value."""
    return bare(_CUES.sub("", text))


_OPENING = re.compile(
    "我要|我想|我来|我有|想要?|要|投诉|举报|反映|反应|提|建议|意见|诉求|登记|一下|一家"
    "|一个|个|家|你好|您好|喂|请问|在|的|是|叫|那|这|有|点|事儿?|情况|问题|商家|店家|企业"
    "|公司|单位|店|厂|"
    "帮我|帮忙|给我|我们?|你们?|您|嗯|啊|呗|吧|呢|从哪.*|怎么.*|咋.*|能不能|可以|行吗|吗"
)


def told(text: str) -> str:
    """What `text` tells besides its opening (我要投诉一家健身房 tells nothing yet)."""
    return bare(without_generic(_OPENING.sub("", text)))


@dataclass
class Heard:
    """Values that a message gives; `rest` belongs to no field; `story` is the whole as it may be kept."""

    values: dict[str, str] = field(default_factory=dict)
    rest: str = ""
    story: str = ""
    told: str = ""  # the part of the story that is neither a wish nor a value
    phone_problem: str = ""


class _Listener:
    """Reads one message clause by clause."""

    def __init__(
        self, text: str, entities: list[Entity], fields: list[str], asked: str, filled: dict[str, str]
    ):
        self.text, self.entities, self.fields, self.asked, self.filled = text, entities, fields, asked, filled
        self.heard = Heard()
        self.left: list[Clause] = []
        self.placed: list[Clause] = []  # clauses that hold an address
        self.wishes: list[str] = []
        self.told: list[str] = []
        self.own: list[tuple[int, int, str]] = []  # the citizen's own numbers, as they may stand in the facts

    def open(self, name: str) -> bool:
        return name in (*self.fields, "address") and (name == self.asked or name not in self.filled)

    def put(self, name: str, value: str) -> bool:
        if not value or not self.open(name) or name in self.heard.values:
            return False
        self.heard.values[name] = value.strip()
        return True

    def before(self, entity: Entity, reach: int = 14) -> str:
        return self.text[max(0, entity["start"] - reach) : entity["start"]]

    def read(self, clause: Clause) -> None:
        if len(bare(clause.text)) <= 16 and wish_of_anonymity(clause.text) is not None:
            return  # The draft's `anonymous` says it.
        used: list[tuple[int, int]] = []
        for entity in self.entities:
            if clause.start <= entity["start"] < clause.end and self._take(entity, clause):
                used.append((entity["start"] - clause.start, entity["end"] - clause.start))
        remaining = self.text[clause.start : clause.end]
        for start, end in reversed(used):
            remaining = remaining[:start] + remaining[end:]
        if "request" in self.fields and self.open("request") and wants(remaining.strip(" ，,。")):
            self.wishes.append(clause.text)
            return
        if not used or len(core(remaining)) >= 3:
            self.left.append(clause)
        if not is_pleasantry(clause.text):
            self.told.append(told(remaining))

    def _take(self, entity: Entity, clause: Clause) -> bool:
        kind, value = entity["entity"], str(entity["value"])
        if kind in ("phone", "phone_invalid"):
            return self._take_phone(entity, kind, value)
        if kind == "name":
            if _OTHERS_NAME.search(self.before(entity)) or _OTHERS_NAME.search(
                self.before(entity).rstrip("姓叫是")
            ):
                return False
            longer = self.filled.get("name", "") and value.startswith(self.filled["name"])
            if longer and "name" in self.fields:
                self.heard.values["name"] = value
            return bool(longer) or self.put("name", value)
        if kind == "company":
            return self._take_firm(entity, value)
        if kind == "address":
            return self._take_address(entity, value, clause)
        return False

    def _take_phone(self, entity: Entity, kind: str, value: str) -> bool:
        if _OTHERS_PHONE.search(self.before(entity)) or not self.open("phone"):
            return False
        check = check_phone(value)
        if check.value:
            self.own.append((entity["start"], entity["end"], mask_phone(check.value)))
            return self.put("phone", check.value)
        self.own.append((entity["start"], entity["end"], "〔号码待核对〕"))
        self.heard.phone_problem = check.problem
        return True

    def _take_firm(self, entity: Entity, value: str) -> bool:
        after = self.text[entity["end"] : entity["end"] + 8]
        own = (
            self.asked == "company" or _OWN_FIRM.search(self.before(entity)) or _OWN_FIRM_AFTER.search(after)
        )
        if own and "company" in self.fields:
            return self.put("company", value)
        if own and self.asked != "respondent":
            return False
        previous = self.heard.values.get("respondent", "")
        if previous and _PLATFORMS.match(previous) and not _PLATFORMS.match(value):
            self.heard.values["respondent"] = value
            return True
        return self.put("respondent", value)

    def _take_address(self, entity: Entity, value: str, clause: Clause) -> bool:
        if _OWN_HOME.search(self.before(entity, 8) + "") and self.asked != "respondent_address":
            return self.put("address", value)
        if self.asked == "address":
            return self.put("address", clause.text)
        if self.asked == "respondent_address":
            self.placed.append(clause)
            return True
        return bool(_FINE.search(value)) and self.put("respondent_address", value)


def own_contacts(text: str, entities: list[Entity]) -> list[str]:
    """The citizen's own names and numbers as they stand in `text`."""
    listener = _Listener(text, entities, [], "", {})
    found = []
    for entity in entities:
        others = _OTHERS_PHONE if entity["entity"] in ("phone", "phone_invalid") else _OTHERS_NAME
        if entity["entity"] in ("phone", "phone_invalid", "name") and not others.search(
            listener.before(entity)
        ):
            found.append(text[entity["start"] : entity["end"]])
    return found


def _candidates(listener: _Listener) -> list[Clause]:
    """Clauses that may be a value without being marked as one; a question is none."""
    return [] if is_question(listener.text) else list(listener.left)


def hear(
    text: str,
    entities: list[Entity],
    *,
    fields: list[str],
    asked: str,
    filled: dict[str, str],
    insist: bool = False,
) -> Heard:
    """What `text` says about the open ones of `fields`.

    `asked` is the field just asked for (it may be filled already, then it is replaced); with `insist` a
    second answer is taken for the field even if it does not look like one.
    """
    listener = _Listener(text, entities, fields, asked, filled)
    for clause in clauses(text, entities):
        listener.read(clause)
    heard, left = listener.heard, listener.left
    heard.told = "".join(listener.told)
    heard.story = text.strip()
    for start, end, shown in sorted(listener.own, reverse=True):
        heard.story = (
            (text[:start] + shown + text[end:]).strip()
            if heard.story == text.strip()
            else _swap(heard.story, text[start:end], shown)
        )
    if asked == "request":
        wish = [c.text for c in clauses(text, entities) if c in left or c.text in listener.wishes]
        if wish and len(bare("".join(wish))) >= 2:
            heard.values["request"] = "，".join(wish)
            left.clear()
    elif listener.wishes:
        listener.put("request", "，".join(listener.wishes))
    if taker := _TAKERS.get(asked):
        taker(listener, insist)
    rest = "，".join(clause.text for clause in left if not is_pleasantry(clause.text))
    if len(core(rest)) >= 3:
        heard.rest = rest
        for start, end, shown in listener.own:
            heard.rest = _swap(heard.rest, text[start:end], shown)
    return heard


def _swap(text: str, old: str, new: str) -> str:
    return text.replace(old, new, 1)


_LEAD = re.compile(
    "^(?:嗯+|啊|哦|呃|那个|那|就是|就|是|叫做|叫|名叫|店名是?叫?|店叫|名字是?叫?|名称是?"
    "|在|我在|我要投诉|我要举报|投诉的?是?|举报的?是?|对方是|商家是|[：:，, ])+"
)


def _respondent(listener: _Listener, insist: bool) -> None:
    if "respondent" in listener.heard.values:
        return
    for clause in _candidates(listener):
        name = _LEAD.sub("", clause.text)
        plausible = 2 <= len(bare(name)) <= 20 and not _PROSE.search(name) and not is_generic(name)
        enough = insist and len(bare(name)) >= 2 and not is_question(name) and not is_skip(name)
        if (plausible or enough) and not is_pleasantry(name):
            listener.heard.values["respondent"] = name
            listener.left.remove(clause)
            _place_beside(listener)
            return


def _place_beside(listener: _Listener) -> None:
    # The question about the firm also asks where it is.
    for clause in list(listener.left):
        place = _LEAD.sub("", clause.text)
        fits = len(place) <= 16 and _FINE.search(place) and not _PROSE.search(place)
        if fits and listener.put("respondent_address", place):
            listener.left.remove(clause)


def _respondent_address(listener: _Listener, insist: bool) -> None:
    values = listener.heard.values
    if listener.placed:
        values["respondent_address"] = "，".join(
            dict.fromkeys(_LEAD.sub("", c.text) or c.text for c in listener.placed)
        )
        listener.left[:] = [c for c in listener.left if c not in listener.placed]
        return
    for clause in _candidates(listener):
        place = _LEAD.sub("", clause.text) or clause.text
        where = _FINE.search(place) or re.search("网|平台|线上|直播|[里边面头口上下东南西北市州]$|站", place)
        plausible = (
            len(bare(place)) >= 2
            and where
            and len(place) <= 40
            and not re.search("[退他给吗说没]|怎么|记不|不知道", place)
        )
        short = 2 <= len(bare(place)) <= 8 and not _PROSE.search(place)
        enough = insist and len(bare(place)) >= 2 and not is_question(place) and not is_skip(place)
        if (plausible or short or enough) and not is_pleasantry(place):
            values["respondent_address"] = place
            listener.left.remove(clause)
            return
    # "欧亚商都一楼" is heard as a firm, and is a place as well.
    for entity in listener.entities:
        if entity["entity"] == "company" and "respondent" not in values:
            values["respondent_address"] = listener.text.strip()
            listener.left.clear()
            return


def _name(listener: _Listener, insist: bool) -> None:
    if "name" in listener.heard.values:
        return
    for clause in _candidates(listener):
        who = re.sub(
            "^(?:嗯+|啊|哦|那个|就|我的?名字是?叫?|姓名是?|名字是?叫?|我叫|我姓|免贵姓|免贵|我是"
            "|叫我|叫|姓|是|[：: ])+|(?:就行|吧|啊|呀|就好|的)+$",
            "",
            clause.text,
        )
        if (
            _PERSON.fullmatch(who)
            and not _NO_PERSON.search(who)
            and not is_pleasantry(who)
            and not is_skip(who)
        ):
            listener.heard.values["name"] = who
            listener.left.remove(clause)
            return


def _phone(listener: _Listener, insist: bool) -> None:
    heard = listener.heard
    if "phone" in heard.values:
        heard.phone_problem = ""
        return
    old = listener.filled.get("phone", "")
    check = corrected_phone(old, listener.text) if old else check_phone(listener.text)
    if check.value and not _OTHERS_PHONE.search(listener.text[: listener.text.find(check.value[:3])]):
        heard.values["phone"], heard.phone_problem = check.value, ""
    else:
        heard.phone_problem = heard.phone_problem or check.problem
    if check.value or check.problem:
        listener.left[:] = [
            c for c in listener.left if not digit_runs(c.text) or len(core(re.sub(r"\d", "", c.text))) >= 6
        ]


def _company(listener: _Listener, insist: bool) -> None:
    if "company" in listener.heard.values:
        return
    for clause in _candidates(listener):
        firm = re.sub(
            r"^(?:嗯+|啊|就|我们|我|单位|公司|店|厂|是|叫|名字|名称|[：: ])+(?=[一-鿿]{2})", "", clause.text
        )
        if (
            2 <= len(bare(firm)) <= 30
            and (insist or not re.search("[不了退他给想说吗没？?咋]|怎么|什么|啥|记不", firm))
            and not is_pleasantry(firm)
            and not is_skip(firm)
        ):
            listener.heard.values["company"] = firm
            listener.left.remove(clause)
            return


def _whole(name: str) -> Callable[[_Listener, bool], None]:
    def take(listener: _Listener, insist: bool) -> None:
        if has_words(listener.text):
            listener.heard.values[name] = listener.heard.story
            listener.left.clear()

    return take


_TAKERS = {
    "respondent": _respondent,
    "respondent_address": _respondent_address,
    "name": _name,
    "phone": _phone,
    "company": _company,
    "evidence": _whole("evidence"),
    "injury": _whole("injury"),
    "address": _whole("address"),
}
