"""The parts of a message: who asks two things asks them one after the other, who says "not A but B" denies A.

One vector for a whole message blurs both. Each part is read for itself as well; the gate adds a measure that one
part names clearly, and drops one that only a denied part names.
"""

from __future__ import annotations

import re

LEAST = 4  # Characters; shorter parts (嗯, 你好) say nothing about a measure.
MOST = 6  # Parts that are read; a long story is told in more, but asks in few.

_BREAK = re.compile(
    r"[,，。.;；?？!！\n]+|(?<=.)(?=另外|再问|再一个|还想问|顺便|还有(?:就是|个事|一件|件事|我|俺|咱))|[、](?=.{4})"
)
# What begins a second matter. 还有啥, 还有别的吗 ask for more of the same.
_ADDS = re.compile(
    r"^(还有(就是|一?个事|一?件事)?|另外(一?件事|一?个事|还)?|再(问一?下?|一个|就是|有)|还想(问|打听)一?下?|顺便(问)?一?下?|"
    r"第二(个|件)?事?|其次|二来|对了)(?!啥|什么|哪|别的|其他|没|吗)"
)
# 不是A…, 不问A…, 别跟我说A…, 跟A没关系: the part names what is not meant.
_DENIED = re.compile(
    r"^(我|我们|俺们?|咱们?|这|那)?(可)?(说|问|要|找|想问|想办|想要|打听)?的?(可|并|又|都)?"
    r"(不是(?!说)(?!.{0,12}(吗|么|吧|嘛)$)|不问|不说|不想|不要|不用(?=说|提|讲)|别(跟我|和我|给我)?(说|提|扯|讲|聊)|没问|不提|不管|先不|甭)"
)


def split(text: str) -> list[str]:
    """The parts of normalised `text` that are long enough to read, at most six; empty when it has only one."""
    parts = [p.strip() for p in _BREAK.split(text) if p and len(p.strip()) >= LEAST]
    return parts[:MOST] if len(parts) > 1 else []


_INTRODUCES = re.compile(
    r"^(我|我们|俺们?|咱们?|这边|一家|是|做|搞|开|干|在|专门).{0,16}(的|厂|公司|店|超市|企业|车间|单位|医院|商场)$"
)


def asks(part: str) -> bool:
    """Whether a part can ask for something of its own: longer than 网上办行不, and no mere introduction."""
    return len(part) >= 7 and not _INTRODUCES.search(part)


def denied(part: str) -> bool:
    """Whether a part names what is not meant."""
    return bool(_DENIED.search(part))


def adds(part: str) -> bool:
    """Whether a part begins a second matter (另外…, 还有就是…, 第二…)."""
    return bool(_ADDS.match(part)) and len(bare(part)) >= LEAST


def bare(part: str) -> str:
    """A part without the words that begin a second matter: what it would be as a message of its own."""
    return _ADDS.sub("", part, count=1)
