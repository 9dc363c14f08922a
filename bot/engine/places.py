"""Whether a question is about another province, whose procedure is not this notice's."""

from __future__ import annotations

import re

_PLACES = (
    "北京|上海|天津|重庆|辽宁|沈阳|大连|鞍山|黑龙江|哈尔滨|齐齐哈尔|内蒙古?|河北|山东|山西|陕西|河南|江苏|浙江|安徽|福建|江西|湖北|武汉|"
    "湖南|广东|广州|深圳|广西|海南|四川|贵州|云南|西藏|甘肃|青海|宁夏|新疆|香港|澳门|台湾"
)
_ELSEWHERE = re.compile(f"{_PLACES}|外地")
# 河北那边, 山东的厂子, 辽宁省咋规定: surely about the other place, however well a measure fits.
_THERE = re.compile(
    f"(?!北京)({_PLACES})(省|市|区)?[^,。!?]{{0,2}}(那边|那头|那面|那儿|当地|本地|(的|有家|开了?)?.{{0,4}}(厂|公司|企业|店)|"
    "的?(政策|规定|咋规定|市场局|市监局|12315))"
)
# A person, a parcel or a customer is elsewhere, not the firm: 法人隔离在武汉, 专家在沈阳过不来, 卖到山东.
_AWAY = re.compile(
    r"隔离|困在|滞留|[过回]不来|来不了|出差|卖到|发往|寄到|进货|代工|贴牌|人还?在|"
    r"(专家|评审员?|审核员|老师|客户|法人|法定代表人|老板|股东)[^,。]{0,4}(在|到|从|被)"
)
_HERE = re.compile(
    "吉林|长春|四平|辽源|通化|白山|松原|白城|延边|延吉|珲春|敦化|梅河口|公主岭|德惠|榆树|农安|舒兰|磐石|蛟河|桦甸|永吉|梨树|双辽|伊通|"
    "集安|柳河|辉南|临江|抚松|靖宇|前郭|乾安|扶余|长岭|洮南|大安|镇赉|通榆|图们|龙井|和龙|汪清|安图|双阳|九台|"
    "[咱我你贵][们]?省|这边|你们这"
)
# Measures whose last word is spoken in Beijing: the patent office, the barcode centre, many certifiers.
_VIA_BEIJING = frozenset({7, 8, 12})


def is_elsewhere(text: str, measure: int, *, sure: bool) -> bool:
    """Whether a question that looks like `measure` is about a place outside Jilin, and names none inside.

    `sure`: the models hold it for a question about the notice; then only clear words count.
    """
    named = set(_ELSEWHERE.findall(text))
    if not named or _HERE.search(text) or (named == {"北京"} and measure in _VIA_BEIJING):
        return False
    return bool(_THERE.search(text)) or not (sure or _AWAY.search(text))
