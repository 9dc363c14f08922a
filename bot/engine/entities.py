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
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jieba
import spacy
import yaml
from spacy.language import Language

from bot.engine.text import _to_simplified

LONGEST = 4000  # Characters that are read; the gateway refuses longer messages anyway.


class Span(NamedTuple):
    """A found entity: characters `start` to `end` of the raw text."""

    entity: str
    value: str
    start: int
    end: int


def extract(text: str) -> list[dict[str, Any]]:
    """Entities of raw `text` as Rasa dicts, in order of their start; never raises on any text."""
    shown = flatten(text[:LONGEST])
    flat = _simplified(shown)
    found: list[Span] = []
    for finder in (_numbers, _dates, _amounts, _addresses_and_companies, _names):
        found += finder(flat, found)
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


class _Read(NamedTuple):
    """spaCy's reading: token borders and the known words."""

    tokens: list[tuple[int, int]]
    known: list[Span]


@lru_cache(maxsize=1)
def _read(flat: str) -> _Read:
    # Cached for one message: several finders need it.
    doc = _nlp()(flat)
    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    return _Read(tokens, [Span(e.label_, e.text, e.start_char, e.end_char) for e in doc.ents])


def _alternatives(key: str) -> str:
    return "|".join(map(re.escape, sorted(_words(key), key=len, reverse=True)))


def _free(start: int, end: int, taken: list[Span]) -> bool:
    return all(end <= span.start or start >= span.end for span in taken)


# -- numbers ----------------------------------------------------------------------------------------

_CHINESE_DIGITS = str.maketrans("零〇一幺二两三四五六七八九", "0011223456789")
_DIGIT = "[0-9零〇一幺二两三四五六七八九]"
_RUN = re.compile(rf"\+?{_DIGIT}(?:[ \-–—·]{{0,2}}{_DIGIT}){{6,}}[xX]?(?![A-Za-z])")
_COMMAS = re.compile(r"(?<!\d)1[3-9]\d[,，、. ]\d{4}[,，、. ]\d{4}(?!\d)")
_USCC = re.compile(
    r"(?<![0-9A-Za-z])[159ANY][1239][0-9]{6}[0-9A-HJ-NP-RTUWXY]{9}[0-9A-HJ-NP-RTUWXY](?![0-9A-Za-z])", re.I
)
_ORDER = re.compile(
    r"(?:订单|运单|快递|物流|交易|流水|单)(?:编?号码?)(?:是|为)?[:： ]{0,2}([A-Za-z0-9][A-Za-z0-9\-]{6,31})"
)
_RECEIPT = re.compile(r"[A-Za-z]{2}-[A-Za-z]-\d{6}-\d{5}-\d")
_PHONE_WORD = re.compile(
    r"(?:电话|手机|号码?|联系方式|联系我|联系|微信同号|打我|座机|tel|phone)[^0-9零一二三四五六七八九幺。!?]{0,6}$",
    re.I,
)
_CARD_WORD = re.compile(r"(?:卡号?|账号|账户|帐号|银行)[^0-9]{0,8}$")
_ID_WORD = re.compile(r"身份证[^0-9]{0,8}$")
_SERVICE_LINE = re.compile(r"^(?:400\d{7}|800\d{7}|95\d{3,6}|12\d{3}|96\d{3,4})$")
_LAND_LINE = re.compile(r"^(0(?:10|2\d|[3-9]\d{2}))([2-8]\d{6,7})$")
_MOBILE = re.compile(r"^1[3-9]\d{9}$")


def _birthday(digits: str) -> bool:
    try:
        return date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14])).year >= 1900
    except ValueError:
        return False


def _luhn(digits: str) -> bool:
    total = sum(int(d) for d in digits[-1::-2])
    total += sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return total % 10 == 0


def _numbers(flat: str, taken: list[Span]) -> list[Span]:
    found: list[Span] = [Span("order_no", m[1], m.start(1), m.end(1)) for m in _ORDER.finditer(flat)]
    skipped = [Span("receipt", m[0], m.start(), m.end()) for m in _RECEIPT.finditer(flat)]
    for match in _USCC.finditer(flat):
        person = match[0][:17].isdigit() and _birthday(match[0])
        if not person and _free(*match.span(), found):
            found.append(Span("uscc", match[0].upper(), *match.span()))
    for match in _COMMAS.finditer(flat):
        if _free(*match.span(), found + skipped):
            found.append(Span("phone", re.sub(r"\D", "", match[0]), *match.span()))
    for match in _RUN.finditer(flat):
        if _free(*match.span(), found + skipped):
            found += _classify(flat, *match.span())
    return found


def _classify(flat: str, start: int, end: int) -> list[Span]:
    digits = _digits(flat[start:end])
    before = flat[max(0, start - 16) : start]
    if len(digits) in (15, 18) and (_ID_WORD.search(before) or _birthday(digits)):
        return [Span("id_card", digits.upper(), start, end)]
    bare = digits.rstrip("xX")
    if 16 <= len(bare) <= 19 and (_CARD_WORD.search(before) or (bare[0] in "3456" and _luhn(bare))):
        return [Span("bank_card", bare, start, end)]
    if found := _phone(bare):
        return [Span("phone", found, start, end)]
    parts = [(m.start() + start, m.end() + start) for m in re.finditer(r"[^ \-–—·]+", flat[start:end])]
    for i in range(len(parts)):
        for j in range(len(parts), i, -1):
            whole = (parts[i][0], parts[j - 1][1])
            if whole != (start, end) and (found := _phone(_digits(flat[slice(*whole)]))):
                return [Span("phone", found, *whole)]
    if 7 <= len(bare) <= 13 and not _SERVICE_LINE.match(bare):
        named = re.search(r"[\u4e00-\u9fff]{2,4}[,，、: ]{1,2}$", before)
        almost = bare[0] == "1" and len(bare) in (10, 12) and named
        if _PHONE_WORD.search(before) or almost:
            return [Span("phone_invalid", bare, start, end)]
    return []


def _digits(run: str) -> str:
    return re.sub(r"[^0-9xX]", "", run.translate(_CHINESE_DIGITS))


def _phone(digits: str) -> str:
    digits = re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)", "", digits)
    if _MOBILE.match(digits):
        return digits
    land = _LAND_LINE.match(digits)
    return f"{land[1]}-{land[2]}" if land else ""


# -- dates and amounts ------------------------------------------------------------------------------

_N = "[0-9零〇一二两三四五六七八九十]"
_DATE = re.compile(
    rf"(?:{_N}{{2,4}}年)?{_N}{{1,2}}月(?:份)?(?:{_N}{{1,3}}[号日])?|{_N}{{4}}年|\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}"
    rf"|(?:正|腊|冬)月(?:初?{_N}{{1,3}})?|初[一二三四五六七八九十](?=那|早|晚|就|我|买|去|到|[,，。 ]|$)"
    r"|(?:上|这|本|前)个?(?:周|星期|礼拜)(?:[一二三四五六日天末])?|(?:周|星期|礼拜)[一二三四五六日天](?![一-鿿]*店)"
    rf"|(?:上|这|本)个?月(?:{_N}{{1,3}}[号日])?|(?:去|前|今)年(?:{_N}{{1,2}}月(?:份)?(?:{_N}{{1,3}}[号日])?)?"
    rf"|(?:[一二两三四五六七八九十半几]|\d{{1,3}})(?:个半?)?(?:来|多)?(?:天|月|星期|礼拜|周|年)(?:之?前|以前)"
    rf"|(?<![0-9零一二三四五六七八九十路街])(?:[一二三]?十[一二三四五六七八九]?|[1-3]?\d)号(?=那天|买|的时候|去|订|到|早|晚|交|付)"
)
_UNIT = r"(?:元钱|元|块钱|块|圆|万块钱?|万元|千元|百元|rmb|RMB|人民币)"
_CN = "[0-9一二两三四五六七八九十百千万零半几]"
_AMOUNT = re.compile(
    rf"[¥￥] ?\d[\d,]*(?:\.\d+)?万?|\d[\d,]*(?:\.\d+)?(?:来|多)?[十百千万亿]?(?:来|多)?{_UNIT}(?:[一二两三四五六七八九\d]毛?(?:钱)?)?"
    rf"|(?:[一二两三四五六七八九几半]|十[一二两三四五六七八九几百千万来多块元]){_CN}*(?:来|多)?(?:元|块钱|块|毛钱|毛)(?:[一二两三四五六七八九](?![包个袋只瓶斤盒箱件张把条双套台份一])毛?(?:钱)?)?"
    rf"|(?:[一二两三四五六七八九几]|十几?){_CN}*[百千万](?:(?:多|来)[万亿]?|[一二两三四五六七八九](?![百千万]))?|\d+(?:\.\d+)?[千万百]"
)
_BARE_AMOUNT = re.compile(
    rf"(?:退|赔偿?|花|收|给|要|充|交|补|付|差|价|值|卖|欠|扣|返|罚|少|多收|押金|定金|学费|费用?)(?:了|我|他|她|您|回|掉|到|是|款|钱){{0,3}}"
    rf"([一二两三四五六七八九十][一二三四五六七八九十百千万零]*|\d+(?:\.\d+)?)"
)
_COUNTED = re.compile(
    r"^(?:来|多|几)?(?:个|人|斤|次|回|天|号|年|月|日|点|倍|成|折|米|公里|里|件|袋|只|瓶|箱|盒|户|家|吨|亩|克|毫|升|度|岁|分|名|张|台|套|份|遍|口|平|支|条|把|双|款|样|种|顿|趟|节|课|位|辆|部|本|罐|桶|包|根|片|粒|棵|头|匹|层|楼|栋|路|街|条|声|下|眼|句|种|赔|般|一|别|[0-9A-Za-z\-])"
)
_NO_MONEY = re.compile(
    r"^(?:一块(?!钱)(?:去|儿|走|来|说|查|办|算|[一-鿿])|万一|千万|一万个|百分|[一二两三四五六七八九]十百)"
)


def _dates(flat: str, taken: list[Span]) -> list[Span]:
    known = [span for span in _read(flat).known if span.entity == "date"]
    spans = [Span("date", m[0], *m.span()) for m in _DATE.finditer(flat) if _free(*m.span(), taken)]
    return spans + [k for k in known if _free(k.start, k.end, taken + spans)]


def _amounts(flat: str, taken: list[Span]) -> list[Span]:
    found: list[Span] = []
    for match in _AMOUNT.finditer(flat):
        after = flat[match.end() : match.end() + 4]
        unit = re.search(r"[元块毛圆¥￥bB币]", match[0])
        if not _free(*match.span(), taken) or _NO_MONEY.match(flat[match.start() : match.end() + 2]):
            continue
        if unit is None and _COUNTED.match(after):
            continue
        found.append(Span("amount", match[0], *match.span()))
    for match in _BARE_AMOUNT.finditer(flat):
        small = len(match[1]) == 1 and not match[1].isdigit() and match[1] != "十"
        after = flat[match.end(1) : match.end(1) + 4]
        if small or _COUNTED.match(after) or not _free(*match.span(1), taken + found):
            continue
        found.append(Span("amount", match[1], *match.span(1)))
    return found


# -- addresses and companies ------------------------------------------------------------------------

_CJK = r"[一-鿿]"
_STREET = re.compile(
    r"(?:大街|大路|大道|胡同|公路|路|街|小区|花园|新村|家园|公寓|大厦|广场|市场|开发区|园区|商圈|社区|新区|[市县区州]|镇|乡|村|屯)"
    r"(?:[0-9一二三四五六七八九十]{1,4}(?:号楼?|栋|幢|单元|委|组|社|队|弄))*"
)
_HOUSE = re.compile(
    r"(?:与|和|交)?(?:[0-9一二三四五六七八九十]{1,4}(?:号楼?|栋|幢|门|单元|室|楼|层|委|组|社|队|弄)-?)+(?:[0-9]{1,4}(?:室)?)?"
)
_GAP = re.compile(r"^(?:[ ]|的|与|和)?$")


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
    end = r"(?=[,，。;；!！?？、:：()（） 的]|$|买|卖|说|不|给|把|我|他|她|收|骗|在|也|就|让|一|上|里|做|办|拿|售|还|拖|拒|报|订|跑|关|退|没|是|充|要|有)"
    return _Patterns(
        re.compile(_alternatives("company_suffixes")),
        re.compile(rf"的?(?:{_alternatives('address_tails')}|那[个家](?!{_CJK}))"),
        re.compile(
            r"(?:店名|店|平台|驾校|公司|厂子|厂|商场|超市|饭店|酒店|商家|对方|单位|招牌|机构|学校|医院|美容院|健身房|网店|卖家|牌子|物业|直播间)"
            rf"(?:名字|名称|名)?(?:就)?(?:是叫|叫做|叫作|叫|名叫|名为|名是)(?:个|什么)?[“\"《「]?([一-鿿A-Za-z0-9·&]{{2,16}}?)[”\"》」]?{end}"
        ),
        re.compile(
            r"(?:在|去|从|搁|通过)([一-鿿A-Za-z0-9]{2,8}?)(?:上|里|那|那儿|那里|家|店里|网店)?"
            r"(?:网?购|买|办卡|办的|办了|充了?值|订的?|报名|报的|下单|修|做的|吃的?|理发|剪头|烫头|染|定做|定的|配的|团购|消费|花了)"
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


def _addresses_and_companies(flat: str, taken: list[Span]) -> list[Span]:
    read = _read(flat)
    addresses = _addresses(flat, read, taken)
    companies = _companies(flat, read, taken, addresses)
    kept = [a for a in addresses if not any(c.start < a.end and a.start < c.end for c in companies)]
    return companies + kept


def _addresses(flat: str, read: _Read, taken: list[Span]) -> list[Span]:
    rules = _patterns()
    pieces = [(k.start, k.end) for k in read.known if k.entity == "address" and _free(k.start, k.end, taken)]
    for match in _STREET.finditer(flat):
        if any(s <= match.start() < e for s, e in pieces):
            continue
        floor = max([e for _, e in pieces if e <= match.start()] + [0])
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
        if _free(start, match.end(), taken):
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
            end = house.end() if _free(end, house.end(), taken) else end
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif found and _GAP.match(flat[found[-1][1] : start]):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    spans = []
    for start, end in found:
        while (after := tail.match(flat, end)) and _free(end, after.end(), taken):
            end = after.end()
        spans.append(Span("address", flat[start:end], start, end))
    return spans


def _companies(flat: str, read: _Read, taken: list[Span], addresses: list[Span]) -> list[Span]:
    rules = _patterns()
    found: list[Span] = []

    def add(start: int, end: int) -> None:
        if end - start >= 2 and _free(start, end, taken + found):
            near = _BESIDE.match(flat, end)
            end = near.end() if near else end
            found.append(Span("address" if near else "company", flat[start:end], start, end))

    for match in rules.called.finditer(flat):
        if not re.match(r"(?:我|他|她|你|什么|啥|不)", match[1]):
            add(*match.span(1))
    for match in _suffixes(flat):
        legal = match[0].endswith("公司") or match[0] == "集团"
        floor = 0
        if not legal or flat[match.start() - 1 : match.start()] in "市县区":
            floor = max([a.end for a in addresses if a.end <= match.start()] + [0])
        start = _left_edge(flat, read.tokens, match.start(), floor, 15)
        name = flat[start : match.start()]
        if _BESIDE.match(flat, match.end()) and name:
            add(start, match.end())
        elif len(name) >= 2 and not name.isdigit() and not _describes(name, match[0], start, read.tokens):
            add(start, match.end())
    # jieba does not know every brand, so that the ruler misses some.
    for match in _brands().finditer(flat):
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


# After these a common word is a trade (软件公司, 打印店); before the others it is a name (幸福超市, 平安药店).
_TRADE_SUFFIXES = re.compile(
    "^(?:公司|厂|店|铺|市场|酒店|学校|医院|中心|批发市场|物业|集团|柜台|车行|直播间|培训学校)$"
)
_COMMON = 5  # Frequency in jieba's dictionary from which on a word is an everyday one.
_SENTENCE = re.compile(
    "^(?:开|开个|办个|并|要求|代表|地点|那|没|乱|新开|定|这|把|用|无)|[二三四五六七八九十几][几多]?家|来电人|要求|查处|犊子|门口"
)


def _describes(name: str, suffix: str, start: int, tokens: list[tuple[int, int]]) -> bool:
    """True if `name` before `suffix` only tells what kind of firm it is."""
    words = [
        name[first - start : last - start] for first, last in tokens if start <= first < start + len(name)
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
            r"[我你他她它这那哪啥什么谁个不没了的过着给说]|一家|附近|楼下|门口|今天|昨天|手机|家里|微信|现在|回来|外面|外边|网络",
            seller,
        )
        or re.search(ends, seller)
        and len(seller) <= 3
    )


# -- names ------------------------------------------------------------------------------------------


class _NamePatterns(NamedTuple):
    cued: re.Pattern[str]
    surname: re.Pattern[str]
    titled: re.Pattern[str]
    listed: re.Pattern[str]
    familiar: re.Pattern[str]


@lru_cache(maxsize=1)
def _name_patterns() -> _NamePatterns:
    single = "".join(_words("surnames"))
    family = f"(?:{_alternatives('compound_surnames')}|[{single}])"
    given = rf"(?:(?![{_rules()['name_stop']}]){_CJK}){{1,2}}"
    return _NamePatterns(
        re.compile(
            rf"(我叫|我名叫|名字?是?叫|我的?名字?(?:是|叫|:)?|姓名(?:是|为)? ?[:： ]?|我是|本人|叫我|署名|联系人 ?[:： ]?|(?:投诉|举报|反映|来电|申请)人(?:是|为)? ?[:： ]?|改成|应该是|应为)"
            rf" ?({family}{given})"
        ),
        re.compile(rf"(?:我|免贵|本人)姓({family})(?!名)"),
        re.compile(rf"(?:^|[,，。;； ]|我是|人|我叫|叫我)({family}(?:先生|女士|小姐|大爷|大娘|阿姨))"),
        re.compile(
            rf"(?:^|[,，。;； ])({family}{given})(?=[,，、:： ]{{0,3}}(?:(?:电话|手机|联系方式|号码)[:： 是]*)?(?:\+?86)?[ ]?[0-9幺一])"
        ),
        re.compile(rf"(?:我叫|我是|叫我|喊我)([小老大][{single}])(?![一-鿿])"),
    )


def _names(flat: str, taken: list[Span]) -> list[Span]:
    rules, tokens = _name_patterns(), _read(flat).tokens
    firms = [span for span in taken if span.entity in ("company", "address", "date", "amount")]
    found: list[Span] = []

    def add(start: int, end: int) -> None:
        if _free(start, end, firms + found) and flat[start:end] not in _words("not_names"):
            found.append(Span("name", flat[start:end], start, end))

    for match in rules.familiar.finditer(flat):
        add(*match.span(1))
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
