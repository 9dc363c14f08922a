"""What a clause looks like by itself: a place, a firm's name, a person's name, a wish, proof, a story, mere talk.

The shape weighs more than the question that was asked: who is asked for a wish and tells the street has told
the street. Only what has no clear shape is taken for the field asked. Pure functions over text.
"""

from __future__ import annotations

import re

from bot.cases.replies import (
    bare,
    is_about_record,
    is_generic,
    is_nothing_more,
    is_pleasantry,
    is_question,
    is_resume_talk,
    is_skip,
    is_submit,
    is_wait,
    wants,
)

FINE = re.compile("[路街道号村镇屯乡巷弄栋]|小区|广场|商场|市场|大厦|花园|那边|附近|对面|旁边|楼|区|县|园")
PROSE = re.compile("[买不了退我俺她他给想要说吗没？?咋]|怎么|什么|啥|记不")
LEAD = re.compile(
    "^(?:嗯+|啊|哦|呃|那个|那|就是个?|就|是个?|叫做|叫|名叫|店名是?叫?|店叫|名字是?叫?|名称是?"
    "|在|我在|我要投诉|我要举报|投诉的?是?|举报的?是?|对方是|商家是|有一?[家个]|[：:，, ]|的(?=[一-鿿]{2}))+"
)
# A prefecture alone does not tell which office: the question about the place stays.
_COARSE = re.compile(
    "(?:吉林省|吉林)?(?:长春|吉林|四平|辽源|通化|白山|松原|白城|延边)?(?:省|市|州|那边|那块|这边)?"
)


def is_filler(clause: str) -> bool:
    """True for what is said to the listener and belongs into no record: 好的, 先别急, 接着说, 你写错了."""
    words = bare(clause)
    return (
        is_pleasantry(clause)
        or is_submit(clause)
        or is_resume_talk(clause)
        or is_about_record(clause)
        or is_nothing_more(clause)
        or (len(words) <= 5 and is_wait(clause) and not re.search("[卖买退说]", words))
    )


_STORY = re.compile(
    r"了(?!事|结|断|$)|[过着](?!办|来)|[买提订办交关充换修送装吃用卖付收](?:的|了)|到现在|至今|一直|查出|发现|生产日期|保质期"
    "|当时|后来|结果|他说|他们|她们|人家|店里|商家|老板|店员|教练|客服|剩|冻|坏|破|裂|漏|假的|不认|不管|没[^错问毛]|说我"
)


def is_story(clause: str, kinds: frozenset[str]) -> bool:
    """True if a clause tells what happened; `kinds` are the entities in it."""
    return bool(kinds & {"date"} or _STORY.search(clause))


_LOOSE_WISH = re.compile(
    "看着办|说法|规定|依法|公道|处理|解决|都行|随便|听你们的|你们定|[一二两三四五十]倍|全额|全部|赶紧|尽快|曝光|道歉|罚"
    "|就行$|就好$|即可$|公开|停业|关门|协调"
)


def is_loose_wish(clause: str, kinds: frozenset[str], money: list[str]) -> bool:
    """A wish as an answer to 您希望怎么解决: 三千就行, 按规定来; `money` are the amounts of the message."""
    around = clause
    for amount in money:
        around = around.replace(amount, "")
    sum_ = (
        "amount" in kinds
        and len(bare(re.sub("就行|就好|左右|吧|大概|也行|钱|给|我|[要就]", "", around))) <= 1
    )
    return wants(clause) or sum_ or bool(_LOOSE_WISH.search(clause) and not is_story(clause, kinds))


_PROOF = re.compile(
    "照片|相片|拍[了照到下]|小票|发票|票据|收据|单据|录音|录像|录了|视频|监控|截图|截屏|聊天|记录|合同|协议|证据|证人|凭证|包装"
    "|实物|样品|转账|流水|[有留存]着|都?留[了着]|报告|线索"
)


def is_proof(clause: str, kinds: frozenset[str] = frozenset()) -> bool:
    """Names something that proves the matter (线索和证据); 三月给我开了发票 tells the story."""
    if "date" in kinds and not re.search("[拍录留存]|截[图屏]|有", clause):
        return False
    return bool(_PROOF.search(clause)) or bool(re.fullmatch("(?:有的?|我有|都?有)+", bare(clause)))


def is_kept_proof(clause: str) -> bool:
    """小票我留着呢: proof that the citizen has."""
    held = re.search("(?<!没)有|留|存|拍|录", clause) and not re.search("没有|举报|投诉|报告|线索", clause)
    return len(bare(clause)) <= 14 and bool(held and _PROOF.search(clause))


def is_coarse(place: str) -> bool:
    """长春: a prefecture without a district."""
    return bool(_COARSE.fullmatch(bare(place)))


_PLACE_IS = re.compile("^(?:小区|地址|位置|地点|店|他家|她家|公司|商场|市场)(?:就)?(?:是|在)")


def place_of(clause: str) -> str:
    """The place without what leads to it (地址就在红旗街 → 红旗街)."""
    return LEAD.sub("", _PLACE_IS.sub("", LEAD.sub("", clause))) or clause


_NUMBER = re.compile(
    r"(?:具体)?(?:的)?(?:门牌号?|地址|位置)?(?:是|在|就是)?([0-9０-９一二三四五六七八九十百零]+(?:号楼?|栋|单元|层|楼|室|号门|门).{0,8})"
)


def house_number(clause: str) -> str:
    """门牌是18号 → 18号; empty if the clause is none."""
    found = _NUMBER.fullmatch(clause.strip())
    return found[1] if found and not PROSE.search(clause) else ""


def finer(old: str, new: str) -> str:
    """The better of two places, both together where they complete each other; empty if `new` adds nothing."""
    if new == old or new in old:
        return ""
    if old in new:
        return new
    # Whose parts are all in the new one is the same place said less exactly (红旗街那个).
    if re.sub("那[边个家块]|附近|这[边个家]", "", old) in new:
        return new
    if re.search("[市县旗州镇乡区]", new) and not re.search("[县旗镇乡区](?!域)", old):
        return f"{new}，{old}"
    number = re.search(r"\d+号|[一二三四五六七八九十]+号|[楼栋层]", new)
    return f"{old}，{new}" if number and not re.search("号|栋|层", old) else ""


_KIND_CALLED = re.compile(
    "^(?:开发商|物业|中介|厂家|公司|单位|学校|驾校|商家|卖家|店铺|网店|店|平台|酒店|饭店|医院|直播间|摊位?|招牌|牌子)(?:名字?|的名字?)?(?:是|叫)(?=.{2})"
)


def firm(text: str, *, insist: bool = False) -> str:
    """The bare name of a firm or stall in a clause (街口那家老孙豆腐坊 → 老孙豆腐坊), or empty."""
    name = LEAD.sub("", _KIND_CALLED.sub("", LEAD.sub("", text.strip())))
    if beside := re.fullmatch("(.{1,10}?)(?:那家|那个|这家|这个|有家|有个|有一家|的一家)([^，]{2,})", name):
        described = re.search("的$|^[卖开做修的]|^店", beside[2])
        name = name if described or is_generic(beside[2]) else beside[2]
    if re.search(r"[A-Za-z]{2}-?\d{6}", name) or not len(bare(name)) >= 2:
        return ""
    plain = len(bare(name)) <= 20 and not PROSE.search(name) and not is_generic(name)
    stubborn = insist and not is_question(name) and not is_skip(name) and not wants(name)
    return name if plain or stubborn else ""


_PERSON = re.compile(
    r"[一-鿿]{1,4}(?:先生|女士|小姐|大爷|大娘|阿姨)?|[一-鿿]{1,8}[·•.][一-鿿]{1,8}|[A-Za-z][A-Za-z .]{1,30}"
)
# Characters that stand in no given name, and words that are none.
_NO_PERSON = re.compile(
    "[的了吗呢吧不没是这你您我他她它们要说把被让叫就都也还再给退赔换买卖款店板死坏两啥什哪谁咋怎嘛个]|(?<=.)钱|.那|那[家边块里儿种]"
    "|想[问说退投知]|查[处封询看]|全名|投诉|举报|人工|干嘛|名字|姓名|电话|赶紧|着急|客服|机器|等等|等会|算了|登记|提交|确认|问题|业主|消费|顾客|客户|会员"
    "|匿名|实名|提货|货物|[一二三四五六七八九十百千万]{2}|[一二三四五六七八九十百千万几][块元个天月年次]$"
)


def person(text: str) -> str:
    """A person's name said as an answer (免贵姓王 → 王, 喊我老李就行 → 老李), or empty."""
    who = re.sub(
        "^(?:嗯+|啊|哦|那个|就|我的?名字是?叫?|姓名是?|名字是?叫?|(?:联系人|法人|负责人)[是叫]?|我叫|我姓|免贵姓|免贵|我是|本人"
        "|[叫喊称]呼?我|叫|姓|是|[：: ])+|(?:就行|就可以|吧|啊|呀|就好|得了|的)+$",
        "",
        text.strip(),
    )
    plain = _PERSON.fullmatch(who) and not _NO_PERSON.search(who)
    return who if plain and not is_filler(who) and not is_skip(who) and not wants(who) else ""
