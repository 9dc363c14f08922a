"""Entities of a message: blank spaCy `zh` cut by jieba, an EntityRuler for known words, regular expressions.

`extract` reads the citizen's raw text and gives Rasa entity dicts:

| entity | value |
|---|---|
| `phone` | digits of a mobile number (13904321187) or of a land line with area code (0431-88990011) |
| `phone_invalid` | digits that were meant as a phone number and cannot be one |
| `name` | 姓名 as said: 孙月, 小董, or the surname alone (韩) |
| `company` | a firm, shop or platform by name; whose it is (respondent or own) is for the intake to say |
| `address` | 地址 as said, with 那边 or 那个 |
| `amount`, `date` | as said |
| `uscc` | 统一社会信用代码 by its form (GB 32100-2015), no check digit |
| `order_no` | an order or parcel number after its word |
| `id_card`, `bank_card` | only so that they can be masked |

Word lists stand in `entities.yml`. Numbers are read first, as their digits must not be taken for anything
else; spans never overlap within numbers, firms, addresses and names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import jieba
import spacy
import yaml
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_words_and_spaces

from bot.engine.numerals import DATE, Span, amounts, free, numbers
from bot.engine.text import _to_simplified

LONGEST = 4000  # Characters that are read; the gateway refuses longer messages anyway.


def extract(text: str, cut: Callable[[str], list[str]] = jieba.lcut) -> list[dict[str, Any]]:
    """Entities of raw `text` as Rasa dicts, in order of their start; never raises on any text.

    `cut` cuts as `jieba.lcut` does, and may know the words of `text` already.
    """
    shown = flatten(text[:LONGEST])
    flat = _simplified(shown)
    read = _read(flat, cut)
    found = numbers(flat, [])
    found += _dates(flat, read, found)
    found += amounts(flat, found)
    found += _addresses_and_companies(flat, read, found)
    found += _names(flat, read, found)
    return [
        {
            "entity": span.entity,
            # Words as the citizen wrote them; numbers in their normal form.
            "value": shown[span.start : span.end]
            if span.value == flat[span.start : span.end]
            else span.value,
            "start": span.start,
            "end": span.end,
            "confidence": 1.0,
            "extractor": "SpacyEntities",
        }
        for span in sorted(found, key=lambda span: (span.start, span.end))
    ]


@lru_cache(maxsize=4096)
def _flat_char(char: str) -> str:
    folded = unicodedata.normalize("NFKC", char)
    if len(folded) != 1 or folded.isspace() or unicodedata.category(folded)[0] == "C":
        return char if len(folded) != 1 and char.isprintable() and not char.isspace() else " "
    return folded


def flatten(text: str) -> str:
    """`text` with full-width forms folded and every white space a blank, character by character.

    The length stays the same, so that positions in it are positions in the raw text.
    """
    return "".join(map(_flat_char, text))


def _simplified(shown: str) -> str:
    folded: str = _to_simplified().convert(shown)
    return folded if len(folded) == len(shown) else shown


# -- words ------------------------------------------------------------------------------------------


def _words(key: str) -> list[str]:
    return str(_rules()[key]).split()


@lru_cache(maxsize=1)
def _rules() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text("utf-8"))
    return loaded


@lru_cache(maxsize=1)
def _nlp() -> Language:
    jieba.setLogLevel(30)
    nlp = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "jieba"}}})
    ruler = nlp.add_pipe("entity_ruler")
    labels = {"places": "address", "date_words": "date"}
    ruler.add_patterns(
        [{"label": label, "pattern": word} for key, label in labels.items() for word in _words(key)]
    )
    return nlp


@lru_cache(maxsize=1)
def _first_tokens() -> frozenset[str]:
    """What the words of the ruler begin with."""
    ruler = _nlp().get_pipe("entity_ruler")
    return frozenset(_nlp().make_doc(pattern["pattern"])[0].text for pattern in ruler.patterns)


class _Read(NamedTuple):
    """Token borders and the known words."""

    tokens: list[tuple[int, int]]
    known: list[Span]


def _read(flat: str, cut: Callable[[str], list[str]]) -> _Read:
    words, spaces = get_words_and_spaces(cut(flat), flat)
    ends = accumulate(len(word) + space for word, space in zip(words, spaces))
    tokens = [(end - len(word) - space, end - space) for word, space, end in zip(words, spaces, ends)]
    # The ruler matches whole tokens; in four of five messages it has nothing to match, so that spaCy need not read.
    if _first_tokens().isdisjoint(words):
        return _Read(tokens, [])
    doc = _nlp()(Doc(_nlp().vocab, words=words, spaces=spaces))
    return _Read(tokens, [Span(e.label_, e.text, e.start_char, e.end_char) for e in doc.ents])


def _alternatives(key: str) -> str:
    return "|".join(map(re.escape, sorted(_words(key), key=len, reverse=True)))


# -- dates ---------------------------------------------------------------------------------------


def _dates(flat: str, read: _Read, taken: list[Span]) -> list[Span]:
    known = [span for span in read.known if span.entity == "date"]
    spans = [Span("date", m[0], *m.span()) for m in DATE.finditer(flat) if free(*m.span(), taken)]
    return spans + [k for k in known if free(k.start, k.end, taken + spans)]


# -- addresses and companies ------------------------------------------------------------------------

_CJK = r"[一-鿿]"
_STREET = re.compile(
    "(?:大街|大路|大道|胡同|公路|路|街|小区|花园|新村|家园|公寓|大厦|广场|市场|开发区|园区"
    "|商圈|社区|新区|[市县区州]|镇|乡|村|屯)"
    r"(?:[0-9一二三四五六七八九十]{1,4}(?:号楼?|栋|幢|单元|委|组|社|队|弄))*"
)
_HOUSE = re.compile(
    "(?:与|和|交)?(?:[0-9一二三四五六七八九十]{1,4}(?:号楼?|栋|幢|门|单元|室|楼|层|委|组"
    "|社|队|弄)-?)+(?:[0-9]{1,4}(?:室)?)?"
)
_GAP = re.compile(r"^(?:[ ]|的|与|和|跟)?$")
_ROAD = re.compile("(?:大街|大路|大道|胡同|公路|路|街)(?![道上边])")


class _Patterns(NamedTuple):
    suffix: re.Pattern[str]
    tail: re.Pattern[str]
    called: re.Pattern[str]
    bought: re.Pattern[str]
    stop: frozenset[str]
    generic: frozenset[str]
    no_address: frozenset[str]
    not_sellers: frozenset[str]


@lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    end = (
        "(?=[,，。;；!！?？、:：()（） 的]|$|买|卖|说|不|给|把|我|他|她|收|骗|在|也|就|让|一"
        "|上|里|做|办|拿|售|还|拖|拒|报|订|跑|关|退|没|是|充|要|有)"
    )
    return _Patterns(
        re.compile(_alternatives("company_suffixes")),
        re.compile(rf"的?(?:{_alternatives('address_tails')}|那[个家](?!{_CJK}))"),
        re.compile(
            "(?:店名|店|平台|驾校|公司|厂子|厂|商场|超市|饭店|酒店|商家|对方|单位|招牌|机构|学校"
            "|医院|美容院|健身房|网店|卖家|牌子|物业|直播间|[一-鿿](?:行|馆|铺|摊|坊|部|社|城|所))"
            rf"(?:名字|名称|名)?(?:就)?(?:是叫|叫做|叫作|叫|名叫|名为|名是)(?:个|什么)?[“\"《「]?([一-鿿A-Za-z0-9·&]{{2,16}}?)[”\"》」]?{end}"
        ),
        re.compile(
            r"(?:在|去|从|搁|通过)([一-鿿A-Za-z0-9]{2,8}?)(?:上|里|那|那儿|那里|家|店里|网店)?"
            "(?:网?购|买|办卡|办的|办了|充了?值|订的?|报名|报的|下单|修|做的|吃的?|理发|剪头|烫头"
            "|染|定做|定的|配的|团购|消费|花了)"
        ),
        frozenset(_words("company_stop")),
        frozenset(_words("generic_names")),
        frozenset(_words("not_addresses")),
        frozenset(_words("not_sellers")),
    )


_BORDER = re.compile(r"[^一-鿿A-Za-z0-9·&]")


def _left_edge(flat: str, tokens: list[tuple[int, int]], start: int, floor: int, reach: int) -> int:
    """How far to the left a name goes that ends in a suffix at `start`: whole tokens, up to a stop word."""
    stop = _patterns().stop
    edge = start
    for first, last in reversed([t for t in tokens if t[0] < start and t[1] > floor]):
        first, last = max(first, floor), min(last, start)
        word = flat[first:last]
        if last != edge or start - first > reach or word in stop or _BORDER.search(word):
            break
        # jieba's guesses glue a preposition to an unknown name: 在鑫|隆旺|超市.
        if len(word) > 1 and word[0] in _GLUED and not jieba.dt.FREQ.get(word):
            return first + 1
        edge = first
    return edge


_GLUED = frozenset("在让被我你他她俺咱去到从是的跟找向对把给")


def _addresses_and_companies(flat: str, read: _Read, taken: list[Span]) -> list[Span]:
    addresses = _addresses(flat, read, taken)
    companies = _companies(flat, read, taken, addresses)
    kept = [a for a in addresses if not any(c.start < a.end and a.start < c.end for c in companies)]
    return companies + kept


def _addresses(flat: str, read: _Read, taken: list[Span]) -> list[Span]:
    rules = _patterns()
    pieces = [(k.start, k.end) for k in read.known if k.entity == "address" and free(k.start, k.end, taken)]
    for match in _STREET.finditer(flat):
        if any(s <= match.start() < e for s, e in pieces):
            continue
        floor = max([e for _, e in pieces if e <= match.start()] + [0])
        named = [s for s, e in pieces if e == match.start()]
        if named and _ROAD.match(flat, match.start()) and free(named[0], match.end(), taken):
            pieces.append((named[0], match.end()))  # 通化路 is a road, 通化 a city.
            continue
        start = _left_edge(flat, read.tokens, match.start(), floor, 8)
        core = re.sub(
            r"[0-9一二三四五六七八九十]+(?:号楼?|栋|幢|单元|委|组|社|队|弄).*$", "", flat[start : match.end()]
        )
        # "超市" of 欧亚超市 and "跑路" are no places, and "村民" or "街道办" only begin like one.
        kind = core[: match.start() - start] in rules.generic
        other_word = kind or core in rules.no_address or _not_place().search(core)
        inside = any(s < match.end() < e for s, e in read.tokens) and not re.search(r"\d", match[0])
        if len(core) < 2 or other_word or inside or _PLACE_GOES_ON.match(flat, match.end()):
            continue
        if free(start, match.end(), taken):
            pieces.append((start, match.end()))
    return _joined(flat, sorted(set(pieces)), taken)


_PLACE_GOES_ON = re.compile("局|场监管|长|民|委会")
_HEADS = frozenset(
    {"大街", "街", "路", "大厦", "广场", "市场", "花园", "开发区", "园区", "小区", "社区", "商圈"}
)


@lru_cache(maxsize=1)
def _not_place() -> re.Pattern[str]:
    words = [word for word in _words("not_addresses") if len(word) > 1 and word not in _HEADS]
    return re.compile(f"(?:{'|'.join(words)})$")


def _joined(flat: str, pieces: list[tuple[int, int]], taken: list[Span]) -> list[Span]:
    tail = _patterns().tail
    found: list[tuple[int, int]] = []
    for start, end in pieces:
        if house := _HOUSE.match(flat, end):
            end = house.end() if free(end, house.end(), taken) else end
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif found and _GAP.match(flat[found[-1][1] : start]):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    spans = []
    for start, end in found:
        while (after := tail.match(flat, end)) and free(end, after.end(), taken):
            end = after.end()
        spans.append(Span("address", flat[start:end], start, end))
    return spans


def _companies(flat: str, read: _Read, taken: list[Span], addresses: list[Span]) -> list[Span]:
    rules = _patterns()
    found: list[Span] = []

    def add(start: int, end: int) -> None:
        if end - start >= 2 and free(start, end, taken + found):
            near = _BESIDE.match(flat, end)
            end = near.end() if near else end
            found.append(Span("address" if near else "company", flat[start:end], start, end))

    for match in rules.called.finditer(flat):
        if not re.match(r"(?:我|他|她|你|人|谁|什么|啥|不|来|去)", match[1]):
            add(*match.span(1))
    for match in _suffixes(flat):
        legal = match[0].endswith("公司") or match[0] == "集团"
        floor = 0
        if not legal or flat[match.start() - 1 : match.start()] in "市县区":
            floor = max([a.end for a in addresses if a.end <= match.start()] + [0])
        start = _left_edge(flat, read.tokens, match.start(), floor, 15)
        name = flat[start : match.start()]
        if (_BESIDE.match(flat, match.end()) and name) or (
            len(name) >= 2 and not name.isdigit() and not _describes(name, match[0], start, read.tokens)
        ):
            add(start, match.end())
    # jieba does not know every brand, so that the ruler misses some.
    for match in _brands().finditer(flat):
        if not any(a.start <= match.start() < match.end() < a.end for a in addresses):
            add(*match.span())
    for match in rules.bought.finditer(flat):
        seller = match[1]
        place = any(a.start < match.end(1) and match.start(1) < a.end for a in addresses)
        timely = any(s.start < match.end(1) and match.start(1) < s.end for s in taken)
        if place or timely or seller in rules.not_sellers or seller in rules.generic or _plain(seller):
            continue
        if _describes(seller, "店", match.start(1), read.tokens):
            continue
        add(*match.span(1))
    return found


@lru_cache(maxsize=1)
def _brands() -> re.Pattern[str]:
    return re.compile(_alternatives("brands"))


# After these a common word is a trade (软件公司); before the others it is a name (幸福超市).
_TRADE_SUFFIXES = re.compile(
    "^(?:公司|厂|店|铺|市场|酒店|学校|医院|中心|批发市场|物业|集团|柜台|车行|直播间|培训学校)$"
)
_COMMON = 5  # Frequency in jieba's dictionary from which on a word is an everyday one.
_SENTENCE = re.compile(
    "^(?:开|开个|办个|并|要求|代表|地点|那|没|乱|新开|定|这|把|用|无)|[二三四五六七八九十几][几多]?家"
    "|来电人|要求|查处|犊子|门口"
)


def _describes(name: str, suffix: str, start: int, tokens: list[tuple[int, int]]) -> bool:
    """True if `name` before `suffix` only tells what kind of firm it is."""
    end = start + len(name)
    words = [
        name[max(first - start, 0) : last - start] for first, last in tokens if first < end and last > start
    ]
    generic = _patterns().generic
    if _SENTENCE.search(name):
        return True
    if name in generic or all(word in generic for word in words):
        return True
    everyday = all(word in generic or (jieba.dt.FREQ.get(word) or 0) >= _COMMON for word in words)
    return everyday and bool(_TRADE_SUFFIXES.match(suffix))


# What stands beside a known place is meant, not the place.
_BESIDE = re.compile(
    "的?(?:旁边|对面|斜对面|附近|隔壁|楼下|楼上|门口|后身|东侧|西侧|南侧|北侧|一楼|二楼|那边)"
)


def _suffixes(flat: str) -> list[re.Match[str]]:
    """Suffixes, of two that touch only the last ("物业公司", "大药房连锁店")."""
    matches = [
        m
        for m in _patterns().suffix.finditer(flat)
        if not re.match(r"员|主|铺|长|家|商|址|村|镇|乡|屯|里人|子里", flat[m.end() : m.end() + 2])
    ]
    return [m for i, m in enumerate(matches) if i + 1 == len(matches) or matches[i + 1].start() != m.end()]


def _plain(seller: str) -> bool:
    """True for words that name nobody: 他们那边, 一家店, 这个群."""
    ends = r"(?:店|超市|商场|平台|市场|网|群|药房|饭店|公司|厂|学校|医院|物业)$"
    return bool(
        re.search(
            "[我你他她它这那哪啥什么谁个不没了的过着给说]|一家|附近|楼下|门口|今天|昨天|手机|家里"
            "|微信|现在|回来|外面|外边|网络",
            seller,
        )
        or (re.search(ends, seller) and len(seller) <= 3)
    )


# -- names ------------------------------------------------------------------------------------------


class _NamePatterns(NamedTuple):
    cued: re.Pattern[str]
    surname: re.Pattern[str]
    titled: re.Pattern[str]
    listed: re.Pattern[str]
    familiar: re.Pattern[str]
    job: re.Pattern[str]
    repeated: re.Pattern[str]


@lru_cache(maxsize=1)
def _name_patterns() -> _NamePatterns:
    single = "".join(_words("surnames"))
    family = f"(?:{_alternatives('compound_surnames')}|[{single}])"
    given = rf"(?:(?![{_rules()['name_stop']}]){_CJK}){{1,2}}"
    return _NamePatterns(
        re.compile(
            "(我叫|我名叫|名字?是?叫|我的?名字?(?:是|叫|:)?|姓名(?:是|为)? ?[:： ]?|我是|本人|叫我"
            "|署名|联系人 ?[:： ]?|(?:投诉|举报|反映|来电|申请)人(?:是|为)? ?[:： ]?|改成|应该是"
            "|应为)"
            rf" ?({family}{given})"
        ),
        re.compile(rf"(?:我|免贵|本人|^|[,，。;； ])姓({family})(?![名的氏])"),
        re.compile(rf"(?:^|[,，。;； ]|我是|人|我叫|叫我)({family}(?:先生|女士|小姐|大爷|大娘|阿姨))"),
        re.compile(
            rf"(?:^|[,，。;； ])({family}{given})"
            r"(?=[,，、:： ]{0,3}(?:(?:电话|手机|联系方式|号码)[:： 是]*)?(?:\+?86)? ?[0-9幺一])"
        ),
        re.compile(
            rf"(?:我叫|我是|叫我|喊我)([小老大][{single}])(?:(?![一-鿿])|(?=就行|就好|就可以|吧|得了))"
        ),
        # 我是业务员小董, 我是采购部的王建国
        re.compile(
            "(?:我是|本人是)[^,，。;； ]{0,6}(?:员|长|经理|会计|老板|负责人|销售|采购|出纳|主任|法人|店主|主管|文员|的)"
            rf"([小老大][{single}]|{family}{given})(?!{_CJK})"
        ),
        re.compile(rf"(?:^|[,，。;； ]|我)姓({family})[,，、 ]+(?:我?叫)?(\1{given})(?!{_CJK})"),
    )


def _names(flat: str, read: _Read, taken: list[Span]) -> list[Span]:
    rules, tokens = _name_patterns(), read.tokens
    firms = [span for span in taken if span.entity in ("company", "address", "date", "amount")]
    found: list[Span] = []

    def add(start: int, end: int) -> None:
        if free(start, end, firms + found) and flat[start:end] not in _words("not_names"):
            found.append(Span("name", flat[start:end], start, end))

    for match in (*rules.familiar.finditer(flat), *rules.job.finditer(flat)):
        add(*match.span(1))
    for match in rules.repeated.finditer(flat):
        add(*match.span(2))
    for match in rules.cued.finditer(flat):
        start, end = match.span(2)
        end = _given_end(flat, tokens, start, end)
        weak = match[1] in ("我是", "本人", "改成", "应该是", "应为", "联系人")
        if end - start >= 2 and (not weak or _closed(flat, end)):
            add(start, end)
    for match in rules.listed.finditer(flat):
        if any(s.entity in ("phone", "phone_invalid") and 0 <= s.start - match.end(1) <= 10 for s in taken):
            add(*match.span(1))
    for match in rules.titled.finditer(flat):
        add(*match.span(1))
    for match in rules.surname.finditer(flat):
        following = flat[match.end() : match.end() + 1]
        # "我姓李叫李强" is found by its 叫; "我姓孙月" is a whole name said loosely.
        if following and re.match(_CJK, following) and following not in str(_rules()["name_stop"]) + "叫先女":
            end = _given_end(flat, tokens, match.start(1), min(len(flat), match.end() + 2))
            if _closed(flat, end) and end > match.end(1):
                add(match.start(1), end)
                continue
        add(*match.span(1))
    whole = [span for span in found if len(span.value) > 1]
    return [s for s in found if len(s.value) > 1 or not any(w.value.startswith(s.value) for w in whole)]


def _closed(flat: str, end: int) -> bool:
    return end >= len(flat) or not re.match(_CJK, flat[end]) or flat[end] in "电手先女"


def _given_end(flat: str, tokens: list[tuple[int, int]], start: int, end: int) -> int:
    """The end of a name: not in the middle of a following word, as in 孙月|昨天."""
    while end > start and not re.match(_CJK, flat[end - 1]):
        end -= 1
    for first, last in tokens:
        if start < first < end < last and last - first > 1:
            return first
    return end
