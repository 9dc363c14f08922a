"""Numbers in a message (号码、金额、日期): phones, document numbers, amounts and dates.

Digits may be Arabic, full width or Chinese (幺三九…), with blanks or dashes between. Every function takes
text of the width of the raw one (`entities.flatten`), so that positions hold, and the spans already taken.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple


class Span(NamedTuple):
    """A found entity: characters `start` to `end` of the raw text."""

    entity: str
    value: str
    start: int
    end: int


def free(start: int, end: int, taken: list[Span]) -> bool:
    """True if no taken span has one of the characters."""
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


def numbers(flat: str, taken: list[Span]) -> list[Span]:
    """Phones, ID and bank cards, credit codes and order numbers; a receipt number is none of them."""
    found: list[Span] = [Span("order_no", m[1], m.start(1), m.end(1)) for m in _ORDER.finditer(flat)]
    skipped = [Span("receipt", m[0], m.start(), m.end()) for m in _RECEIPT.finditer(flat)]
    for match in _USCC.finditer(flat):
        person = match[0][:17].isdigit() and _birthday(match[0])
        if not person and free(*match.span(), found):
            found.append(Span("uscc", match[0].upper(), *match.span()))
    for match in _COMMAS.finditer(flat):
        if free(*match.span(), found + skipped):
            found.append(Span("phone", re.sub(r"\D", "", match[0]), *match.span()))
    for match in _RUN.finditer(flat):
        if free(*match.span(), found + skipped):
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
# 八月十五 has no 号; what follows keeps counted things apart (八月十五个).
_DAY = "(?:[一二三]?十[一二三四五六七八九]?|[一二三四五六七八九])"
_AFTER_DAY = "(?=那|早|晚|上午|下午|中午|就|我|买|去|到|的|提|订|交|下|办|在|[,，。;； ]|$)"
DATE = re.compile(
    rf"(?:{_N}{{2,4}}年)?{_N}{{1,2}}月(?:份)?(?:{_N}{{1,3}}[号日]|初[一二三四五六七八九十]|{_DAY}{_AFTER_DAY})?|{_N}{{4}}年|\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}"
    rf"|(?:正|腊|冬)月(?:初?{_N}{{1,3}})?|初[一二三四五六七八九十](?=那|早|晚|就|我|买|去|到|[,，。 ]|$)"
    r"|(?:上|这|本|前)个?(?:周|星期|礼拜)(?:[一二三四五六日天末])?|(?:周|星期|礼拜)[一二三四五六日天](?![一-鿿]*店)"
    rf"|(?:上|这|本)个?月(?:{_N}{{1,3}}[号日])?|(?:去|前|今)年(?:{_N}{{1,2}}月(?:份)?(?:{_N}{{1,3}}[号日])?)?"
    rf"|(?:[一二两三四五六七八九十半几]|\d{{1,3}})(?:个半?)?(?:来|多)?(?:天|月|星期|礼拜|周|年)(?:之?前|以前)"
    r"|(?<![0-9零一二三四五六七八九十路街])(?:[一二三]?十[一二三四五六七八九]?|[1-3]?\d)号(?=那天"
    "|买|的时候|去|订|到|早|晚|交|付)"
)
_UNIT = r"(?:元钱|元|块钱|块|圆|万块钱?|万元|千元|百元|rmb|RMB|人民币)"
_CN = "[0-9一二两三四五六七八九十百千万零半几]"
_AMOUNT = re.compile(
    r"[¥￥] ?\d[\d,]*(?:\.\d+)?万?"
    rf"|\d[\d,]*(?:\.\d+)?(?:来|多)?[十百千万亿]?(?:来|多)?{_UNIT}(?:[一二两三四五六七八九\d]毛?(?:钱)?)?"
    f"|(?:[一二两三四五六七八九几半]|十[一二两三四五六七八九几百千万来多块元]){_CN}*(?:来"
    "|多)?(?:元|块钱|块|毛钱|毛)(?:[一二两三四五六七八九](?![包个袋只瓶斤盒箱件张把条双套台份一])毛?(?:钱)?)?"
    f"|(?:[一二两三四五六七八九几]|十几?){_CN}*[百千万](?:(?:多|来)[万亿]?|[一二两三四五六七八九](?![百千万]))?"
    r"|\d+(?:\.\d+)?[千万百]"
)
_BARE_AMOUNT = re.compile(
    "(?:退|赔偿?|花|收|给|要|充|交|补|付|差|价|值|卖|欠|扣|返|罚|少|多收|押金|定金|学费"
    "|费用?)(?:了|我|他|她|您|回|掉|到|是|款|钱){0,3}"
    r"([一二两三四五六七八九十][一二三四五六七八九十百千万零]*|\d+(?:\.\d+)?)"
)
_COUNTED = re.compile(
    "^(?:来|多|几)?(?:个|人|斤|次|回|天|号|年|月|日|点|倍|成|折|米|公里|里|件|袋|只|瓶"
    "|箱|盒|户|家|吨|亩|克|毫|升|度|岁|分|名|张|台|套|份|遍|口|平|支|条|把|双|款|样|种"
    "|顿|趟|节|课|位|辆|部|本|罐|桶|包|根|片|粒|棵|头|匹|层|楼|栋|路|街|条|声|下|眼|句"
    r"|种|赔|般|一|别|[0-9A-Za-z\-])"
)
_NO_MONEY = re.compile(
    r"^(?:一块(?!钱)(?:去|儿|走|来|说|查|办|算|[一-鿿])|万一|千万|一万个|百分|[一二两三四五六七八九]十百)"
)


def amounts(flat: str, taken: list[Span]) -> list[Span]:
    """Amounts of money as said (四万六, 3200元); counted things (五十个人) are none."""
    found: list[Span] = []
    for match in _AMOUNT.finditer(flat):
        after = flat[match.end() : match.end() + 4]
        unit = re.search(r"[元块毛圆¥￥bB币]", match[0])
        if not free(*match.span(), taken) or _NO_MONEY.match(flat[match.start() : match.end() + 2]):
            continue
        if unit is None and _COUNTED.match(after):
            continue
        found.append(Span("amount", match[0], *match.span()))
    for match in _BARE_AMOUNT.finditer(flat):
        small = len(match[1]) == 1 and not match[1].isdigit() and match[1] != "十"
        after = flat[match.end(1) : match.end(1) + 4]
        if small or _COUNTED.match(after) or not free(*match.span(1), taken + found):
            continue
        found.append(Span("amount", match[1], *match.span(1)))
    return found
