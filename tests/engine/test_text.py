"""The normal form of what people type, dictate or paste."""

from __future__ import annotations

import random
import unicodedata

import pytest

from bot.engine.text import normalise


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("电梯维保能延长吗", "电梯维保能延长吗"),
        ("電梯維保能延長嗎", "电梯维保能延长吗"),
        ("ＡＢＣ１２３？", "abc123?"),
        ("３Ｃ認證", "3c认证"),
        ("ﬁ①㎏", "fi1kg"),
        ("电\u200b梯\ufeff维\u00ad保", "电梯维保"),
        ("电梯\u202e维保\u2066", "电梯维保"),
        ("电梯😀维保👨‍👩‍👧🇨🇳❤️1️⃣", "电梯维保 1"),
        ("  电 梯\n维\t保  ", "电梯维保"),
        ("app  下载  link", "app 下载 link"),
        ("电梯 app", "电梯 app"),
        ("急急急急急急急急", "急急急"),
        ("！！！！！！", "!!!"),
        ("哈哈哈", "哈哈哈"),
        ("/restart", "restart"),
        ("///restart", "restart"),
        ("／restart", "restart"),
        (" /intent{}", "intent{}"),
        ("\u200b/restart", "restart"),
        ("a/b", "a/b"),
        ("", ""),
        ("/", ""),
        ("\u200b\u200d\ufeff", ""),
        ("😀😀😀", ""),
        ("\x00\x01\x7f", ""),
    ],
)
def test_normal_form(raw: str, normal: str) -> None:
    assert normalise(raw) == normal
    assert normalise(normal) == normal


def test_any_text_has_a_normal_form_and_names_no_intent() -> None:
    rng = random.Random(12315)
    pools = [
        range(0x20),
        range(0x20, 0x7F),
        range(0x4E00, 0x9FA6),
        range(0x2000, 0x2070),
        range(0x1F300, 0x1F700),
    ]
    for _ in range(2000):
        text = "".join(chr(rng.choice(rng.choice(pools))) for _ in range(rng.randrange(30)))
        normal = normalise(text)
        assert not normal.startswith("/")
        assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in normal)
        assert normal == normal.strip()


def test_long_text_is_quick_and_whole() -> None:
    assert normalise("电梯维保" * 25_000) == "电梯维保" * 25_000
