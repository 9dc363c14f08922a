"""Cuts of a message and of what is like it: always jieba's own, whatever is known."""

from __future__ import annotations

import jieba
import pytest

from bot.engine.cuts import Cuts

TEXT = "我叫孙月，在百惠乐超市买的牛奶 3.5 元，另外电梯维保能延长吗?iphone 坏了"


@pytest.mark.parametrize(
    "other",
    [
        TEXT,
        TEXT.upper(),
        "在百惠乐超市买的牛奶 3.5 元",
        "电梯维保能延长吗",
        "维保能延长",
        "孙月\n，，在",
        "",
        " ",
        "😀",
    ],
)
@pytest.mark.parametrize("text", [TEXT, "", "电梯，，维保"])
def test_cuts_as_jieba_does(text: str, other: str) -> None:
    assert Cuts(text, jieba.lcut(text))(other) == Cuts()(other) == jieba.lcut(other)


def test_known_blocks_are_not_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cuts("电梯维保，能延长吗", ["电梯", "维保", "，", "能", "延长", "吗"])
    monkeypatch.setattr(jieba, "lcut", None)
    assert cut("能延长吗") == ["能", "延长", "吗"]
    assert cut("能延长吗，电梯维保") == ["能", "延长", "吗", "，", "电梯", "维保"]


def test_tokens_of_another_text_are_not_used() -> None:
    assert Cuts("电梯维保", ["专利", "质押"])("电梯维保") == jieba.lcut("电梯维保")
