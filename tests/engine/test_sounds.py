"""What sounds alike comes out alike, so that no list of misspellings is needed."""

from __future__ import annotations

import pytest

from bot.engine.sounds import syllables


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("电替维保", "电梯维保"),
        ("营业直照", "营业执照"),
        ("专力质押", "专利质押"),
        ("消毒久精", "消毒酒精"),
        ("特种射备", "特种设备"),
        ("生产许可正", "生产许可证"),
    ],
)
def test_homophones_are_equal(heard: str, meant: str) -> None:
    assert syllables(heard) == syllables(meant)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("xiaodu酒精", "消毒酒精"),
        ("dianti维保", "电梯维保"),
        ("zhuanli", "专利"),
        ("shangbiao注册", "商标注册"),
    ],
)
def test_typed_pinyin_is_equal(typed: str, meant: str) -> None:
    assert syllables(typed) == syllables(meant)


@pytest.mark.parametrize(
    ("said", "meant"), [("三水", "山水"), ("资道", "知道"), ("层里", "城里"), ("金费", "经费")]
)
def test_the_accents_of_the_north_east_are_folded(said: str, meant: str) -> None:
    assert syllables(said) == syllables(meant)


def test_different_sounds_stay_different() -> None:
    assert syllables("电梯") != syllables("许可")
    assert syllables("换证") != syllables("贷款")


def test_numbers_are_one_sign_and_english_is_kept() -> None:
    assert syllables("13904321187") == syllables("7") == ["0"]
    assert syllables("kpmg") == ["kpmg"]


@pytest.mark.parametrize("text", ["", "？！", "😀", "   "])
def test_what_has_no_sound_is_nothing_or_itself(text: str) -> None:
    assert all(s == "0" or s.isalpha() for s in syllables(text))


def test_a_long_latin_word_is_split_in_time() -> None:
    assert len(syllables("xian" * 500)) >= 500
