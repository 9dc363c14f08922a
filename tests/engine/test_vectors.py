"""Rows of features: the same sentence the same row, similar sounds near, numbers anonymous."""

from __future__ import annotations

import jieba
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

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
    return vectorizer.transform([text], [jieba.lcut(text)])


def test_views() -> None:
    assert "^电" in characters("电梯")
    assert "电梯$" in characters("电梯")
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


def test_rows_have_unit_length_and_blocks_the_weights_length(vectorizer: Vectorizer) -> None:
    found = vectorizer.transform(TEXTS, [jieba.lcut(t) for t in TEXTS])
    assert np.allclose(np.sqrt(found.multiply(found).sum(axis=1)), 1, atol=1e-6)
    ends = np.cumsum([len(columns) for columns in vectorizer.columns])
    lengths = [np.linalg.norm(block) for block in np.split(found[0].toarray()[0], ends[:-1])]
    assert np.allclose(np.array(lengths) / lengths[0], np.array([1.0, 0.7, 0.7]))


def test_a_block_is_tf_idf_as_scikit_learn_defines_it() -> None:
    made = Vectorizer(weights=(1.0, 0.0, 0.0))
    ours = made.fit(TEXTS, [jieba.lcut(t) for t in TEXTS])
    theirs = TfidfVectorizer(analyzer=characters, sublinear_tf=True, min_df=2)
    expected = theirs.fit_transform(TEXTS)
    order = [made.columns[0][gram] for gram in theirs.get_feature_names_out()]
    assert len(order) == len(made.columns[0])
    assert np.allclose(ours[:, order].toarray(), expected.toarray(), atol=1e-6)


def test_sentences_read_together_have_the_rows_that_they_have_alone(vectorizer: Vectorizer) -> None:
    texts = ["专利质押", "电梯维保", "？", "电梯维保周期"]
    tokens = [jieba.lcut(t) for t in texts]
    together, alone = vectorizer.rows(texts, tokens), vectorizer.transform(texts, tokens)
    assert together.features.tolist() == sorted(set(alone.indices))
    assert np.allclose(together.values, alone[:, together.features].toarray(), atol=1e-6)


def test_no_sentences_are_no_rows(vectorizer: Vectorizer) -> None:
    assert vectorizer.transform([], []).shape == (0, len(vectorizer.idf))
    assert vectorizer.rows([], []).values.shape == (0, 0)
