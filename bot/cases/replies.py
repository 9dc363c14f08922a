"""What one message of an intake (登记) wants: yes, no, stop, skip, anonymity, another type.

The words weigh more than the classifier's act: an act is only believed where the text does not speak
against it. Pure functions over text.
"""

from __future__ import annotations

import re
import unicodedata

from bot.cases.fields import digit_runs

# -- short answers ----------------------------------------------------------------------------------


def bare(text: str) -> str:
    """`text` without punctuation, blanks and emoji, in half width and lower case."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LN")


_TAIL = (
    "(?:了|吧|的|啊|呀|呗|哈|哦|嗯|您|你|谢谢|谢了|麻烦|麻烦你|麻烦您|就行|闺女|姑娘|老妹儿?"
    "|大妹子|大兄弟|小伙子?|同志|师傅)*"
)
_STRONG_YES = (
    "确认提交|确定提交|确认无误|核对无误|信息无误|没有问题|没有错|没问题|没毛病|没错|都对"
    "|全对|确认|确定|提交|同意|"
    "正确|无误|对的|是的|对对|就这样|就这么|可以|好的|好嘞|行了|妥|交|中|成|对|行|好|是|ok|yes|y"
)
_YES = re.compile(
    f"(?:嗯+|恩|啊|哦|那|那就|我|都|全|信息|内容|上面|以上)*(?:{_STRONG_YES})(?:嗯|{_STRONG_YES})*{_TAIL}"
)
_WEAK_YES = re.compile("(?:嗯|恩|啊|哦|欸|诶|昂|唔)+")
_NO = re.compile(
    "(?:嗯|啊|哦|那|等等|等一下)*(?:还|好像|有的?|有点|有一?[处项条个]|这个|里面|上面)*"
    "(?:不太?对|不是的?|错了?|有错|有误|不正确|不准确|改一处|改一下|改改|改下|修改|要改"
    "|我要改|想改|得改|no|不)"
    "(?:的|了|吧|啊|呀|呢|得改|要改|改)*"
)
_WAIT = re.compile("先别|先不要|先等等|等等|等一?下|等会|稍等|我再(?:想想|看看)")
_STOP_VERB = "登记|投诉|举报|提交|办|弄|填|整|反映|提|报|交|告|追究|说|投"
_STOP = re.compile(
    "(?:那|那就|我|嗯|唉|哎|行了|得了|真的?|确定|是的?|对)*(?:算了|拉倒|得了|取消|退出"
    "|终止|停止|结束|撤销|作罢|不干)"
    f"(?:吧|了|登记|投诉|举报|啊|这次|谢谢|不(?:{_STOP_VERB})了?|我?不想(?:{_STOP_VERB})了?|太麻烦了?)*"
    f"|(?:那|那就|我|嗯|唉|哎|算了|是的?|对|就|还是|真的?)*(?:不想|不要|不用|不|别)再?(?:{_STOP_VERB})(?:了"
    f"|吧|啦)+.{{0,6}}"
    "|不登记|不提交|取消|退出"
)
_RESUME = re.compile(
    "(?:那|好|嗯|还是)*(?:继续|接着)(?:登记|来|吧|说|办|填|投诉|举报|了|呗)*|回到登记|刚才(?:说到|问到)哪了?"
)
_SKIP = re.compile(
    "(?:我|这个|这项|也|都|真的?|嗯|呃|啊|哎呀|实在|可)*"
    "(?:不知道|不清楚|不晓得|不记得|不认识|不了解|忘了?|忘记了?|记不住|记不清|记不得|想不起来"
    "|跳过|没有|没了?|无|暂无|不填|不留|不说|不写|"
    "不想[说留写填给]|不方便[说留写填给透露]*|不用|不必|先不[说填留]|下一[个项]|pass|略"
    "|说不清|说不好|没看清|没注意|没留意|没记住|过)"
    "(?:了|吧|啊|呢|叫啥|叫什么|名字|是啥|啥名|哪家|地址|证据|跳过|说不清|不留|这个|具体"
    "|在哪|呀|的|名|电话|，)*"
)
_PLEASANTRY = re.compile(
    "(?:你好|您好|喂|嗯|恩|哦|噢|啊|好|好的|好嘞|行|谢谢|谢谢你|谢谢您|多谢|辛苦了?|在吗"
    "|在不|哈+|呵+|嘿|ok|收到|知道了|明白了?|客气|再见|拜拜|没事|对|是|是的|对的|可以|不"
    "|不是|不对)+"
)
_QUESTION = re.compile(
    "[?？]|[吗么嘛]$|(?:多少|几点|几天|怎么办|咋办|为什么|为啥|干啥|干嘛|干什么|凭什么"
    "|什么用|啥用|啥意思|什么意思|对不对|行不|行不行|能不能|可不可以|是不是|有没有|谁啊|哪儿)"
)
_WHY = re.compile("为什么|为啥|凭什么|凭啥|干啥|干嘛|干什么|什么用|啥用|有必要|一定要|必须|非得|问这个")


def has_words(text: str) -> bool:
    """False for blanks, punctuation and emoji alone."""
    return bool(bare(text))


def is_yes(text: str, act: str = "") -> bool:
    """An explicit yes by its words; 嗯 alone only where the classifier also heard a yes."""
    words = bare(text)
    if is_question(text):
        return False
    if _YES.fullmatch(words) and not is_no(text):
        return True
    if act != "affirm" or _speaks_against(words):
        return False
    return bool(_WEAK_YES.fullmatch(words)) or (len(words) <= 5 and is_submit(text, act))


def _speaks_against(words: str) -> bool:
    return bool(re.search(r"不|没|错|别|改|取消|等|先|算了|\d|吗|么|咋|怎么|啥|什么|谢", words))


# Words of a message that submits; whatever is left besides them is something new.
_SUBMIT = re.compile(
    "好使|得嘞|对(?!方|面|不|账)|是的|没错|没(?:有|啥|什么)?(?:问题|毛病|意见)|没有?错|可以|行(?!业)|好(?![多几评])|确认|确定|提交"
    "|就(?:这[么样]?|那[么样]?|按|报|交)|(?:报|交|登记|递|发|投|整|办)(?:上去|上|过去|上来)?(?:吧|呗|$)|(?:报|交|递)上去|妥|中(?!午|间)|嗯呐|同意"
    "|正确|无误|两(?:件|样|个)都|ok|成(?=吧|了|$)"
)
_SUBMIT_FILL = re.compile(
    "嗯+|恩|昂|呐|啊|哦|噢|哎|那就|那|就是|就|这么着|这么|这样|这回|这次|这下|这个|这些|这|都|全部|全|也|的|吧|了|呗|哈|喽"
    "|呀|看着|瞅着|上去|过去|上来|上|两件|两样|两个|要|我|你|您|咱|帮|给|替|请|麻烦|谢谢|谢了|多谢|谢|信息|内容|以上|写|填|记"
    "|登记|登|报|递|发|送|交|办|投诉|举报|投|按|来|是|一下|直接|现在|闺女|姑娘|同志|师傅|小伙子?|大妹子"
)
_SUBMIT_NOT = re.compile(
    r"不|没(?!错|有?问题|毛病|有毛病|啥问题|啥毛病|有错|意见|什么问题)|(?<!没)(?<!没有)错|别|但|可是|不过|先|等|改|再|还|另外|补|加"
    r"|换|取消|算|吗|(?<![这那什])么|什么(?!问题)|啥(?!问题|毛病)|咋|怎|多少|哪|谁|为|\d|呢"
)


_NOTHING_MORE = re.compile(
    "没有?(?:啥|什么|别的|其他|其它|要|需要|再|可)*(?:改|补充|说|加)(?:的)?(?:了)?|没有?(?:别的|其他的?|其它的?|啥|事儿?)?了(?=[，吧呗交报递提]|$)"
)


def is_nothing_more(clause: str) -> bool:
    """没别的要改了."""
    return bool(_NOTHING_MORE.fullmatch(bare(clause)))


def is_submit(text: str, act: str = "") -> bool:
    """A yes to the summary in natural words (对，就这么报吧): nothing in it denies, asks or adds anything."""
    words = _NOTHING_MORE.sub("", bare(text))
    if not words or len(words) > 24 or is_question(text) or _SUBMIT_NOT.search(words):
        return False
    if not _SUBMIT.search(words):
        return False
    left = _SUBMIT_FILL.sub("", _SUBMIT.sub("", words))
    return len(left) <= (1 if act == "affirm" else 0)


_RECORD_TALK = re.compile(
    "(?:还是|是|啊|哦|可)*(?:你们?|您|我刚才|刚才|我|这里|上面)?(?:给我)?(?:念|写|记|听|填|打|登|说|报)(?:的|得)?"
    "(?:成|错|少|漏|反|不对|有误).{0,8}|[一-鿿]字(?:没错|没写错|对|没变|不变)|(?:啊|哦|呀|我|刚才|是)*(?:少|多|漏|差|错)了?(?:说|写|打|报)?了?[一1两]?(?:位|个数|个字).{0,3}"
)


def is_about_record(clause: str) -> bool:
    """你写错了, 少说一位: about what was written down, not about the matter."""
    return len(bare(clause)) <= 12 and bool(_RECORD_TALK.fullmatch(bare(clause)))


_RESUME_TALK = re.compile(
    "(?:行|好|好了|嗯|那|来|咱)*(?:接着|继续)(?:往下)?(?:说|登|登记|报|来|投诉|举报|讲|弄|填)"
    "(?:吧|我|那个|这个|这事|那事|那件|这件|的|刚才|事儿?)*"
)


def is_resume_talk(clause: str) -> bool:
    """好了接着说我那个."""
    return bool(_RESUME_TALK.fullmatch(bare(clause)))


_AGREE = re.compile(
    "(?:好|行|嗯|那|我|就|要|想|给我|帮我|请|是|对)*(?:投诉|举报|反映|登记|诉求)(?:吧|他们?|它|了|一下|这个|呗)*"
)


def is_agreement(text: str) -> bool:
    """那我就投诉, said once an intake runs: the citizen agrees and adds nothing."""
    return bool(_AGREE.fullmatch(bare(text)))


_ANNOUNCES = re.compile(
    ".{0,12}(?:有|提|反映|说)(?:[个点条些]|几[个条点])?(?:小|好)?(?:意见|建议|想法){1,2}(?:想说|要提|要说|想提)?"
)


def announces(text: str) -> bool:
    """我对你们的流程有个建议: says that something will be said."""
    return bool(_ANNOUNCES.fullmatch(bare(text)))


_NUMBERED = re.compile(r"(?i)jl-?[a-z]?-?\d{6,}")
_EARLIER = re.compile(
    "(?:上次|上回|之前|以前|前几天|上个?月|上周|去年|前阵子)[^，。]{0,4}(?:报|投|举|登|反映|说)|(?:单|编)号|回执"
)
_HOW_FAR = re.compile(
    "进度|结果|受理[没了]|咋样|怎么样|哪一?步|信儿|回复|回话|处理.{0,3}[没了]|办.{0,4}[没了]"
)


def asks_status(text: str, act: str = "") -> bool:
    """Asks how far an earlier case is."""
    if len(bare(text)) > 40:
        return False
    asks = bool(_HOW_FAR.search(text))
    return bool(_NUMBERED.search(text) and (asks or act == "status")) or bool(
        asks and _EARLIER.search(text) and act in ("status", "oos", "followup")
    )


def is_no(text: str, act: str = "") -> bool:
    """Something is wrong, without saying what."""
    words = bare(text)
    said = [bare(piece) for piece in re.split("[，,。；;！!、 ]+", text) if bare(piece)]
    if said and _NO.fullmatch(said[0]) and all(_NO.fullmatch(w) or is_about_record(w) for w in said):
        return True
    return bool(_NO.fullmatch(words)) or (
        act == "deny"
        and len(words) <= 6
        and bool(re.search("[不没错别改]", words))
        and not _YES.fullmatch(words)
    )


def is_wait(text: str) -> bool:
    """先别提交: neither yes nor no."""
    return len(bare(text)) <= 14 and bool(_WAIT.search(text))


def is_cancel(text: str, act: str = "") -> bool:
    """The citizen wants to stop the whole intake; short messages only, stories mention 不投诉了 as well."""
    words = bare(text)
    if _settled(text):
        return True
    if len(words) > 18 or _WAIT.search(words):
        return False
    return bool(_STOP.fullmatch(words)) or (
        act == "cancel"
        and len(words) <= 8
        and bool(re.search("[不算停退别撤]|取消|拉倒", words))
        and not wants(text)
    )


_SETTLED = re.compile("(?:退|赔|换|修|给|解决|还|处理|和解|私了|说开|商量).{0,4}(?:了|好)|不用(?:了|管)")


def _settled(text: str) -> bool:
    """算了，他赔我了，不投诉了: it ends with giving up, or begins with it because the matter is settled."""
    said = [piece for piece in re.split("[，,。；;！!]+", text) if bare(piece)]
    if not 2 <= len(said) <= 4 or len(bare(text)) > 30:
        return False
    first, last = (bool(_STOP.fullmatch(bare(piece))) for piece in (said[0], said[-1]))
    others = said[1:] if first else said[:-1]
    told = [piece for piece in others if not _STOP.fullmatch(bare(piece))]
    return (first or last) and all(_SETTLED.search(p) and not re.search("没|不给|[吗?？]", p) for p in told)


def is_resume(text: str, act: str = "") -> bool:
    """继续登记."""
    words = bare(text)
    return bool(_RESUME.fullmatch(words)) or (
        act == "resume" and len(words) <= 10 and bool(re.search("继续|接着|刚才|回到", words))
    )


def is_skip(text: str, act: str = "") -> bool:
    """Does not know, or does not want to say."""
    words = bare(text)
    return bool(_SKIP.fullmatch(words)) or (
        act == "skip"
        and len(words) <= 12
        and bool(re.search("[不没忘跳略无]|先过", words))
        and not digit_runs(text)
    )


def is_pleasantry(text: str) -> bool:
    """A greeting, thanks or a nod: no value for any field."""
    return bool(_PLEASANTRY.fullmatch(bare(text)))


def is_question(text: str) -> bool:
    """Asks something instead of answering."""
    return bool(_QUESTION.search(text.strip()))


def asks_why(text: str) -> bool:
    """Asks what a field is needed for."""
    return len(bare(text)) <= 20 and bool(_WHY.search(text))


# -- wishes about the whole record ------------------------------------------------------------------

_ANONYMOUS = re.compile(
    "匿名|不(?:想|要|能|用|愿意?)?(?:写|留|记|露|署|报|暴露|透露)(?:我|俺)?(?:的)?(?:真?名"
    "|姓名|身份|名字)|别(?:写|留|记|提|说|露|署|透露|暴露)(?:出)?(?:我|俺)"
    "|不(?:想|能|要)(?:让|叫|给)[^，。]{0,10}知道(?:是)?(?:我|谁)|别(?:让|叫)[^，。]{0,10}知道(?:是)?(?:我"
    "|谁)|不实名|不用实名"
)
_REAL_NAME = re.compile("实名|不匿名|不用匿名|留名|署名|写我(?:的)?名|用真名|不怕")


def wish_of_anonymity(text: str) -> bool | None:
    """True 匿名, False 实名, None if nothing is said about it."""
    if re.search("不(?:用|要|想|需要)?匿名|别匿名", text):
        return False
    if _ANONYMOUS.search(text):
        return True
    return False if _REAL_NAME.search(text) and not re.search("实名.{0,2}(?:认证|注册|卡)", text) else None


_SWITCH = re.compile(
    "(?:那|那就|我|还是|就|请|帮我|给我|都|仍|要|想)*(?:改成|改为|改按|改走|改|换成|换"
    "|按照?|走|选|转成|转为|转)(?:一下|个|企业)?(企业诉求|诉求|消费投诉|投诉|匿名举报|举报"
    "|意见建议|建议)(?:登记|来|走|办|处理|提交|吧|了|的)*"
)
_TYPES = {"诉求": "request", "投诉": "complaint", "举报": "report", "建议": "suggestion"}
_JOIN = re.compile(
    "(?:也|同时|还|另外|一并|顺便|再)(?:要|想|给我)?(?:一起)?举报|举报也(?:要|报)|两(?:件|样|个)都(?:要|报)"
    "|(?:另外|顺便|同时|你们也|还[得要请])[^，。]{0,8}(?:查查|查他|查它|查处|查一下|罚他|罚它|管管他)"
)


def switch_of_type(text: str) -> str:
    """The type the citizen wants instead ("改按企业诉求登记"), or empty."""
    found = _SWITCH.fullmatch(bare(text))
    return _TYPES[found[1][-2:]] if found else ""


def joins_report(text: str) -> bool:
    """也要举报他: the complaint gets a second part (总局令第121号 Art 9)."""
    return bool(_JOIN.search(text)) and not re.search("不(?:想|要|用)?举报", text)


_BUSINESS = re.compile(
    "(?:我们|俺们|咱们?|我|俺|本)(?:家|的|这|这个|那个|那)?(?:小)?(?:厂|工厂|公司|企业"
    "|单位|饭店|超市|店里|店铺|门店|作坊|合作社|酒店|诊所|药店|物业)|我司|贵司"
    "|(?:我|我们)是.{0,8}(?:商户|个体户|个体工商户|老板|企业|厂家|供货商|经销商|加盟商"
    "|租户)|我开(?:了|的)?(?:个|家)?.{0,6}(?:店|厂|馆|公司)"
    "|进的?货|货款|供货|批发|采购|工程款|转供电|加盟费|生产用|办公用|转卖|我们商户"
)
_FARM = re.compile("种子|化肥|复合肥|农药|农膜|地膜|饲料|兽药|苗|种苞米|种地")
_FEES = re.compile("乱收|违规收|多收|不该收|强制收|摊派|转供电|电费|水费|乱罚|收费|加价|检查费|手续费|评审费")
_HURT = re.compile(
    "受伤|伤着|伤了|吃坏|住院|过敏|烫伤|(?<!没)摔(?:伤|倒|着|断|跟头|了?一?跤)|中毒|流血|出血|骨折|拉肚子|上吐下泻|呕吐|起疹子"
    "|红疹|扎破|割破|烧伤|划伤|砸"
)
_TREATED = re.compile("住院|医院|诊所看|就医|急诊|缝针|缝了|挂水|打针|大夫|没去看|没就医|没受伤|没有受伤")


def is_business(text: str) -> bool:
    """Sounds like a purchase for a business, not 生活消费 (消费者权益保护法 Art 2).

    Farmers' supplies count as 生活消费 (Art 62).
    """
    return bool(_BUSINESS.search(text)) and not _FARM.search(text)


def is_fee(text: str) -> bool:
    """Sounds like 乱收费."""
    return bool(_FEES.search(text))


def is_hurt(text: str) -> bool:
    """Somebody may be hurt, and nothing is said about a doctor."""
    return bool(_HURT.search(text)) and not _TREATED.search(text)


_GENERIC = (
    "超市|商场|商店|饭店|酒店|宾馆|餐厅|饭馆|药店|药房|医院|诊所|美容院|理发店|健身房|驾校"
    "|学校|培训班|幼儿园|加油站|物业|公司|厂家|工厂|洗衣店|修车店|网店|平台|"
    "旅行社|影楼|农资店|手机店|家具店|眼镜店|快递|中介|市场|商户|烧烤店|火锅店|蛋糕店|4S店"
)
_GENERIC_FOUND = re.compile(f"(?<!我们)(?<!我家)(?<!俺家)(?<!我的)(?:{_GENERIC})")
_GENERIC_ONLY = re.compile(
    f"(?:就是|是|在|去|的|那|这|个|家|一|有|楼下|我家|小区|门口|附近|旁边)*(?:{_GENERIC}"
    "|店|厂|商家|老板|卖家|店家)(?:里|买的|的)*"
)


def generic_firm(text: str) -> str:
    """商场 in 我们厂让商场乱收电费: a kind of firm without a name, or empty."""
    found = _GENERIC_FOUND.search(text)
    return found[0] if found else ""


_PLATFORMS = re.compile("(?:淘宝|天猫|京东|拼多多|抖音|快手|美团|饿了么|闲鱼|唯品会|得物|转转|小红书|微信)")


def is_platform(name: str) -> bool:
    """淘宝: a place of shops, and rarely the one who sold."""
    return bool(_PLATFORMS.match(name))


# -- what is asked for ------------------------------------------------------------------------------


def without_generic(text: str) -> str:
    """`text` without words for kinds of firms."""
    return re.sub(_GENERIC, "", text)


def is_generic(text: str) -> bool:
    """True for 那家超市: a kind of firm and nothing more."""
    return bool(_GENERIC_ONLY.fullmatch(bare(text)))


_REQUEST_VERB = (
    "退|赔|换|修|补|道个?歉|返还|返我|返给|处理|解决|查|罚|停业|吊销|关停|取缔|整改|说法|兑现"
    "|履行|开发票|交付|协调|督促|还我|还给|恢复|撤销|减免|公道|做主|要回|找回|解冻|结清|结款|放款|拉走|承担|负担"
)
_WISH = re.compile(
    "(?P<lead>要求|希望|想要?|(?<!不)要|请|让|叫|求|帮我|给我|必须|得|只要|就想|能不能|能给|应该|最好|争取|主张"
    "|你们(?:快|赶紧|得|去|来)|赶紧|尽快|快点)"
    f"(?:(?!投诉|举报|反映)[^，。]){{0,10}}(?:{_REQUEST_VERB})"
    "|(?:还要|也要|要求|要他们?|让他们?)[^，。]{0,12}(?:费用?|损失|的钱)$"
)
# 装修公司 mends nothing for the citizen, 修脚 is a service.
_TRADES = re.compile("装修(?!好)|[维修]修?理?[店点部厂铺站]|修[脚车鞋表](?!好)|退休|换季|调查表")
_HAPPENED = re.compile("[^吧结退还放]了$|[出错坏]了")
_SHORT_WISH = re.compile(
    "(?:也|就|只|全额?|都|给|快|赶紧|把[^，。]{1,8}|那|最少|至少|要么|或者|再|然后|还)*(?:退(?:钱"
    "|款|货|费|我|给|回|一赔|卡|差|定金|押金|全|了|还|不退|[一二两三四五六七八九十百千万\\d])"
    "|赔(?:偿|我|钱|[一二两三四五六七八九十百千万\\d])|换(?:货|一|个|新|台|双|件)|修好"
    "|维修|补(?:差价|足|偿|给|我)|道个?歉|返还|退掉)(?:(?!没|未|一直|拖|拒).){0,12}"
)
_REFUSED = re.compile(
    "(?:不|没|拒|未)(?:给|肯|让|予|同意|愿意|想|承认|认|管|理|退|赔|换|修|解决|处理|能)"
    "|拒绝|(?:商家|店家|店里|他们?|她|老板|平台|对方|卖家|厂家|客服|人家)(?:们)?(?:就)?(?:说"
    "|让我|叫我|要我|非要|要求|答应)"
)


# 退剩下的四千八, 按规定赔我: begins with the verb, and nothing has happened yet.
_BARE_WISH = re.compile(
    "(?:也|就|只|全额?|都|快|赶紧|那|最少|至少|要么|或者|再|然后|还得?|按规定|按价|依法|照价|先|给我?)*"
    "(?:退(?![休伍出役步烧热])|赔|换|补|返)(?![的得了过])[^了过没未拖拒]{1,12}"
)
_GIVE_BACK = re.compile(
    "[^了]{1,6}的(?:钱|部分)?(?:都|全)?(?:退|还|返)(?:给我|回来|我)(?:就行)?"
    "|[^了过没]{0,6}(?:损失|费用?|钱)(?:也|都|得|要|给)*赔[^了过的]{0,8}"
)
_TAKE = re.compile(
    "(?:就|也|要|请|快|赶紧|帮我|给我|你们|让他们?|叫他们?)*把[^，。]{1,10}?(?:退|结|放|还|修|换|补|解冻|解封|清|拉走|搬走|拆|撤|删|赔|关)"
    "(?:给我|我|了|掉|好|清|走|回来?|出来|吧){0,3}"
)


def wants(clause: str) -> bool:
    """True if a clause says what the citizen wants (退款, 换货…), not what the other side refused."""
    clause = re.sub("^(?:还有|另外|并且|而且|同时|以及)", "", _TRADES.sub("", clause))
    if _REFUSED.search(clause):
        return False
    words = bare(clause)
    wish = _WISH.search(clause)
    # 给我修出血了 tells, 给我修好 wishes.
    if wish and not (wish["lead"] in ("给我", "让", "叫", "得", "要") and _HAPPENED.search(clause)):
        return True
    return any(shape.fullmatch(words) for shape in (_SHORT_WISH, _BARE_WISH, _TAKE, _GIVE_BACK))
