"""Rows of features: the same sentence the same row, similar sounds near, numbers anonymous."""

from __future__ import annotations

import jieba
import numpy as np
import pytest

from bot.engine.models import unit
from bot.engine.vectors import Vectorizer, characters, sounds, words

TEXTS = [
    "电梯维保能延长吗",
    "电梯维保周期",
    "许可证到期换证",
    "许可证延期",
    "专利质押贷款",
    "专利贷款利率",
] * 3


@pytest.fixture(scope="module")
def vectorizer() -> Vectorizer:
    made = Vectorizer()
    made.fit(TEXTS, [jieba.lcut(t) for t in TEXTS])
    return made


def row(vectorizer: Vectorizer, text: str):
    return unit(vectorizer.transform([text], [jieba.lcut(text)]))


def test_views() -> None:
    assert "^\x1f电" in characters("电梯")
    assert "电\x1f梯\x1f$" in characters("电梯")
    assert words(["电梯", " ", "维保"]) == ["电梯", "维保", "电梯\x1f维保"]
    assert "dian\x1fti" in sounds("电替")


def test_long_numbers_are_one_sign() -> None:
    assert characters("电话13904321187") == characters("电话13800000000")
    assert characters("12315") == characters("99999")
    assert characters("1231") != characters("1232")


def test_training_and_reading_give_the_same_row() -> None:
    made = Vectorizer()
    rows = made.fit(TEXTS, [jieba.lcut(t) for t in TEXTS])
    again = made.transform(TEXTS, [jieba.lcut(t) for t in TEXTS])
    assert rows.shape == again.shape
    assert np.allclose(rows.toarray(), again.toarray())


def test_a_homophone_is_nearer_than_another_topic(vectorizer: Vectorizer) -> None:
    heard, meant, other = (
        row(vectorizer, t) for t in ("电替维保能延长吗", "电梯维保能延长吗", "专利质押贷款")
    )
    assert (heard @ meant.T)[0, 0] > 0.4 > (heard @ other.T)[0, 0]


@pytest.mark.parametrize("text", ["", "？", "zzz", "😀"])
def test_unknown_text_is_an_empty_row_and_no_error(vectorizer: Vectorizer, text: str) -> None:
    found = row(vectorizer, text)
    assert found.shape[0] == 1
    assert not np.isnan(found.toarray()).any()
