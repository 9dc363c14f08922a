"""What one message of an intake (登记) gives: values for the fields, and the rest that belongs to the story.

Clause by clause over the engine's entities (`bot/engine/entities.py`). Whose firm, phone, name and address it
is, is read from the words before. Nothing is thrown away: what fits no field comes back as `rest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.cases import shapes
from bot.cases.fields import Entity, check_phone, corrected_phone, digit_runs
from bot.cases.replies import (
    bare,
    has_words,
    is_platform,
    is_question,
    is_skip,
    wants,
    wish_of_anonymity,
    without_generic,
)
from bot.cases.shapes import FINE, LEAD, PROSE
from bot.crypto import mask_phone


@dataclass(frozen=True)
class Clause:
    """Characters `start` to `end` of the message, between two marks of punctuation."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Left:
    """A clause that gave no value, or not only values: `rest` is what is left of it, `kinds` its entities."""

    clause: Clause
    rest: str
    kinds: frozenset[str]

    @property
    def text(self) -> str:
        """The clause as said."""
        return self.clause.text

    @property
    def story(self) -> bool:
        """It tells what happened."""
        return shapes.is_story(self.text, self.kinds)


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
_OTHERS_AFTER = re.compile(
    "^[，, ]{0,2}(?:就是|是|这是)(?:那个|那家|人家)?[^，。我]{0,8}(?:师傅|老板|商家|店里?|客服|卖家|他|她|对方|中介)的"
)
_OWN_NAME = re.compile("(?:我是|我叫|本人是?)[^，,。；]{0,6}$")
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
_CUES = re.compile(
    "(?:我|俺|咱)?(?:的)?(?:联系)?(?:电话|手机|手机号码?|号码|联系方式|姓名|名字|称呼|地址"
    "|住址|店名|名称)(?:号码?)?(?:是|叫|为|:|：)*|我叫|我姓|免贵姓|我是|叫我|我在|我家?住在?"
    "|家?住在?|就是|就在|店?叫|"
    "在|是|叫|的|那个|这个|嗯+|啊|呃|哎呀?|喂|你好|您好|请问|那|就|吧|呢|呀|哈|我|要|想"
    "|投诉|举报|反映|他家|那家|这家|那儿|有个|一家|先生|女士|:|：|去的|家"
)
_PROSE = re.compile("[买不了退我俺他她给想要说吗没？?咋]|怎么|什么|啥|记不")


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


_INTRODUCES = re.compile("(?:我是|联系人|本人|投诉人|举报人|来电人|申请人).{0,6}")
_ABOUT_PLACE = re.compile(
    "[东西南北中]?[里头边面侧口]|把角|拐角|交汇|交叉|路口|具体|门牌|市场|商场|地址|位置|有[个家]|[那这][个家]|过了桥"
)


class _Listener:
    """Reads one message clause by clause."""

    def __init__(
        self, text: str, entities: list[Entity], fields: list[str], asked: str, filled: dict[str, str]
    ):
        self.text, self.entities, self.fields, self.asked, self.filled = text, entities, fields, asked, filled
        self.heard = Heard()
        self.left: list[Left] = []
        self.placed: list[Left] = []  # clauses that say a place and nothing else
        self.wishes: list[Left] = []
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

    def shown(self, start: int, end: int) -> str:
        """The message from `start` to `end` with the citizen's own numbers masked."""
        words, at = "", start
        for first, last, mask in sorted(self.own):
            if start <= first < end:
                words, at = words + self.text[at:first] + mask, last
        return words + self.text[at:end]

    def quote(self, some: list[Clause]) -> str:
        """Clauses as they were said; neighbours keep the marks between them."""
        runs: list[tuple[int, int]] = []
        for clause in some:
            if runs and bare(self.text[runs[-1][1] : clause.start]) == "":
                runs[-1] = (runs[-1][0], clause.end)
            else:
                runs.append((clause.start, clause.end))
        return "，".join(self.shown(start, end).strip() for start, end in runs)

    def read(self, clause: Clause) -> None:
        if len(bare(clause.text)) <= 16 and wish_of_anonymity(clause.text) is not None:
            return  # The draft's `anonymous` says it.
        inside = [e for e in self.entities if clause.start <= e["start"] < clause.end]
        kinds = frozenset(e["entity"] for e in inside)
        if not inside and shapes.is_filler(clause.text):
            return
        if self.asked == "company" and "company" in kinds and kinds <= {"company", "address"}:
            # 农安县丰收合作社: to one's own firm belongs its place.
            self.put("company", _OWN_CALLED.sub("", clause.text))
            return
        if self._is_place(clause, inside):
            self.placed.append(Left(clause, clause.text, kinds))
            return
        used = [(e["start"] - clause.start, e["end"] - clause.start) for e in inside if self._take(e, clause)]
        remaining = self.text[clause.start : clause.end]
        for start, end in reversed(used):
            remaining = remaining[:start] + remaining[end:]
        left = Left(clause, remaining.strip(" ，,。"), kinds)
        if "request" in self.fields and wants(left.rest):
            self.wishes.append(left)
            return
        introduced = "name" in kinds and used and _INTRODUCES.fullmatch(left.rest)
        if not introduced and (not used or len(core(remaining)) >= 3):
            self.left.append(left)
        self.told.append(told(remaining))

    def _is_place(self, clause: Clause, inside: list[Entity]) -> bool:
        """A place without anything told about it; the number of the house may follow by itself."""
        if "respondent_address" not in self.fields or self.asked == "address":
            return False
        if self.placed and shapes.house_number(clause.text):
            return True
        if not inside or {e["entity"] for e in inside} != {"address"} or is_question(clause.text):
            return False
        asked = self.asked == "respondent_address"
        if _OWN_HOME.search(self.before(inside[0], 8)) and not asked:
            return False
        around = clause.text
        for entity in inside:
            around = around.replace(self.text[entity["start"] : entity["end"]], "")
        around = _ABOUT_PLACE.sub("", around)
        coarse = all(shapes.is_coarse(str(e["value"])) for e in inside) and not bare(around)
        return len(core(around)) < 3 and (asked or not coarse)

    def _take(self, entity: Entity, clause: Clause) -> bool:
        kind, value = entity["entity"], str(entity["value"])
        if kind in ("phone", "phone_invalid"):
            return self._take_phone(entity, kind, value)
        if kind == "name":
            before = self.before(entity)
            others = _OTHERS_NAME.search(before) or _OTHERS_NAME.search(before.rstrip("姓叫是"))
            if others and not _OWN_NAME.search(before):
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
        if _OTHERS_AFTER.search(self.text[entity["end"] : entity["end"] + 24]):
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
        previous = self.heard.values.get("respondent", "") or self.filled.get("respondent", "")
        if is_platform(previous) and not is_platform(value) and "respondent" in self.fields:
            # 在淘宝买的, 店铺叫…: the shop answers for it, the platform is where it is.
            self.heard.values["respondent"] = value
            self.put("respondent_address", previous)
            return True
        return self.put("respondent", value)

    def _take_address(self, entity: Entity, value: str, clause: Clause) -> bool:
        if _OWN_HOME.search(self.before(entity, 8) + "") and self.asked != "respondent_address":
            return self.put("address", value)
        if self.asked == "address":
            return self.put("address", clause.text)
        # 松原江北的惠客多超市: what stands between the place and the firm belongs to the place.
        if self.asked in ("respondent", "respondent_address"):
            after = self.text[entity["end"] : clause.end]
            next_ = [e["start"] for e in self.entities if entity["end"] <= e["start"] < clause.end]
            between = self.text[entity["end"] : min(next_)] if next_ else ""
            if re.fullmatch("[一-鿿]{1,6}的", between) and not PROSE.search(between):
                entity["end"] += len(between) - 1
                return self.put("respondent_address", value + between[:-1])
            if not shapes.is_coarse(value) and (len(core(after)) < 3 or after.startswith("的")):
                return self.put("respondent_address", value)
        return bool(FINE.search(value)) and self.put("respondent_address", value)


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


def _candidates(listener: _Listener) -> list[Left]:
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
    listener = _Listener(text, [dict(e) for e in entities], fields, asked, filled)
    for clause in clauses(text, entities):
        listener.read(clause)
    heard = listener.heard
    heard.told = "".join(listener.told)
    heard.story = listener.shown(0, len(text)).strip()
    _places(listener)
    _wishes(listener, insist)
    if taker := _TAKERS.get(asked):
        taker(listener, insist)
    _by_the_way(listener)
    rest = [left for left in listener.left if not shapes.is_filler(left.text)]
    if len(core("".join(left.text for left in rest))) >= 3 or any(left.kinds for left in rest):
        heard.rest = listener.quote([left.clause for left in rest])
    return heard


def _by_the_way(listener: _Listener) -> None:
    """What completes a field that is not asked for: proof, and the whole name after a surname."""
    known = listener.filled.get("name", "")
    for left in list(listener.left):
        who = shapes.person(left.rest) if len(known) == 1 and not left.kinds else ""
        if "evidence" in listener.fields and listener.open("evidence") and shapes.is_kept_proof(left.text):
            found = listener.put("evidence", listener.quote([left.clause]))
        elif len(who) > 1 and who.startswith(known) and "name" in listener.fields:
            found = listener.heard.values.setdefault("name", who) == who
        else:
            found = False
        if found:
            listener.left.remove(left)


def _places(listener: _Listener) -> None:
    """The respondent's place, also when a better one is told later."""
    if not listener.placed:
        return
    values, old = listener.heard.values, listener.filled.get("respondent_address", "")
    place = ""
    for told in (placed.text for placed in listener.placed):
        number = shapes.house_number(told) if place else ""
        said = shapes.place_of(told)
        if number:
            place = re.sub("那[家个边块]$", "", place) + number
        elif said not in place:
            place = f"{place}，{said}" if place else said
    if listener.put("respondent_address", place):
        return
    known = values.get("respondent_address", "") or old
    if better := shapes.finer(known, place):
        values["respondent_address"] = better
    elif place not in known:
        listener.left = sorted([*listener.left, *listener.placed], key=lambda left: left.clause.start)


def _wishes(listener: _Listener, insist: bool) -> None:
    """The request (诉求): what is wished, wherever it was said; asked for it, also what may be a wish."""
    said = list(listener.wishes)
    if listener.asked == "request" and not is_question(listener.text):
        calm = not any(left.kinds or left.story for left in listener.left)
        alone = len(listener.left) == 1 and not listener.heard.values and not said
        # 三百 alone is what is wanted; 三百，拖了半年 tells what is owed.
        told_too = len(listener.left) > 1 and any(left.story for left in listener.left)
        money = [str(e["value"]) for e in listener.entities if e["entity"] == "amount" and not told_too]
        for left in list(listener.left):
            plain = not left.kinds and not left.story and not is_skip(left.text)
            if shapes.is_loose_wish(left.text, left.kinds, money) or (plain and calm and (alone or insist)):
                said.append(left)
                listener.left.remove(left)
    if not said:
        return
    wish = "，".join(left.text for left in sorted(said, key=lambda left: left.clause.start))
    old = listener.filled.get("request", "")
    if listener.asked != "request" and old:
        # What is wished for later completes what was wished for before.
        listener.heard.values["request"] = old if wish in old else f"{old}；{wish}"
    else:
        listener.put("request", wish)


def _respondent(listener: _Listener, insist: bool) -> None:
    if "respondent" in listener.heard.values:
        return
    for left in _candidates(listener):
        if left.kinds & {"date", "amount", "phone", "name"} or wants(left.text):
            continue
        name = shapes.firm(left.rest, insist=insist and not left.story)
        if name:
            listener.heard.values["respondent"] = name
            listener.left.remove(left)
            _place_beside(listener)
            return


def _place_beside(listener: _Listener) -> None:
    # The question about the firm also asks where it is.
    for left in list(listener.left):
        place = LEAD.sub("", left.text)
        fits = len(place) <= 16 and FINE.search(place) and not PROSE.search(place)
        dated = left.kinds & {"date", "amount"}
        if fits and not dated and listener.put("respondent_address", place):
            listener.left.remove(left)


def _respondent_address(listener: _Listener, insist: bool) -> None:
    values = listener.heard.values
    if "respondent_address" in values:
        return
    platform = listener.filled.get("respondent", "")
    for left in _candidates(listener):
        if left.kinds & {"date", "amount", "phone"}:
            continue
        shop = shapes.firm(left.rest) if is_platform(platform) and not FINE.search(left.rest) else ""
        if shop and not left.story and "respondent" in listener.fields:
            values["respondent"], values["respondent_address"] = shop, platform
            listener.left.remove(left)
            return
        place = shapes.place_of(left.text)
        where = FINE.search(place) or re.search("网|平台|线上|直播|[里边面头口上下东南西北市州]$|站", place)
        plausible = (
            len(bare(place)) >= 2
            and where
            and len(place) <= 40
            and not re.search("[退他给吗说没]|怎么|记不|不知道", place)
        )
        short = 2 <= len(bare(place)) <= 8 and not PROSE.search(place) and not left.story
        stubborn = (
            insist
            and len(bare(place)) >= 2
            and not is_question(place)
            and not is_skip(place)
            and not left.story
        )
        if plausible or short or stubborn or _ONLINE.search(place):
            values["respondent_address"] = place
            listener.left.remove(left)
            return
    # "欧亚商都一楼" is heard as a firm, and is a place as well.
    for entity in listener.entities:
        if entity["entity"] == "company" and "respondent" not in values:
            values["respondent_address"] = listener.text.strip()
            listener.left.clear()
            return


_ONLINE = re.compile("^(?:就)?(?:是)?(?:在)?(?:网上|线上|网店|没有门店|手机上)")


def _name(listener: _Listener, insist: bool) -> None:
    if "name" in listener.heard.values:
        return
    for left in _candidates(listener):
        who = "" if left.kinds & {"date", "amount", "company", "address"} else shapes.person(left.rest)
        if who:
            listener.heard.values["name"] = who
            listener.left.remove(left)
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


_OWN_CALLED = re.compile(r"^(?:嗯+|啊|就|我们|我|单位|公司|店|厂|是|叫|名字|名称|[：: ])+(?=[一-鿿]{2})")


def _company(listener: _Listener, insist: bool) -> None:
    if "company" in listener.heard.values:
        return
    for left in _candidates(listener):
        if left.kinds & {"date", "amount", "phone", "name"} or wants(left.text):
            continue
        firm = _OWN_CALLED.sub("", left.text)
        prose = re.search("[不了退他给想说吗没？?咋]|怎么|什么|啥|记不", firm)
        if 2 <= len(bare(firm)) <= 30 and (insist or not prose) and not is_skip(firm):
            listener.heard.values["company"] = firm
            listener.left.remove(left)
            return


def _evidence(listener: _Listener, insist: bool) -> None:
    proof = [left for left in listener.left if shapes.is_proof(left.text, left.kinds)]
    alone = len(listener.left) == 1 and not listener.left[0].story and not listener.left[0].kinds
    proof = proof or (listener.left[:] if alone and not is_question(listener.text) else [])
    if proof:
        listener.heard.values["evidence"] = listener.quote([left.clause for left in proof])
        listener.left = [left for left in listener.left if left not in proof]


_HEALTH = re.compile("伤|医|看|没有?$|有|疼|院|药|流血|大夫|针|治|病|没事|[是没]的?$")


def _injury(listener: _Listener, insist: bool) -> None:
    if _HEALTH.search(bare(listener.text)) and "request" not in listener.heard.values:
        listener.heard.values["injury"] = listener.heard.story
        listener.left.clear()


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
    "evidence": _evidence,
    "injury": _injury,
    "address": _whole("address"),
}
