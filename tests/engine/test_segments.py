"""The parts of a message."""

import pytest

from bot.engine.segments import adds, bare, denied, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("电梯维保能延长吗，另外三C证到期了", ["电梯维保能延长吗", "另外三C证到期了"]),
        ("想网上办照还有我们想抵押机器", ["想网上办照", "还有我们想抵押机器"]),
        ("条码几天能办再一个检测免不免", ["条码几天能办", "再一个检测免不免"]),
        ("还有别的政策吗", []),
        ("电梯维保能延长吗", []),
    ],
)
def test_split(text: str, parts: list[str]) -> None:
    assert split(text) == parts


@pytest.mark.parametrize(
    ("part", "is_second", "rest"),
    [
        ("另外三C证到期了", True, "三C证到期了"),
        ("还有就是我们想抵押机器", True, "我们想抵押机器"),
        ("第二个事条码几天能办", True, "条码几天能办"),
        ("顺便问一下检测免不免", True, "检测免不免"),
        ("还有啥政策没有", False, "还有啥政策没有"),
        ("还有别的吗", False, "还有别的吗"),
        ("条码几天能办", False, "条码几天能办"),
        ("另外呢", False, "呢"),
    ],
)
def test_what_begins_a_second_matter(part: str, is_second: bool, rest: str) -> None:
    assert (adds(part), bare(part)) == (is_second, rest)


def test_what_is_not_meant() -> None:
    assert denied("我不是问电梯年检") and not denied("电梯年检能推迟吗")
