"""Sparse features of a sentence: n-grams of characters, of jieba words and of folded pinyin syllables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from bot.engine.sounds import syllables

_NUMBER = re.compile(r"\d{5,}")


def _ngrams(items: Sequence[str], low: int, high: int) -> list[str]:
    return ["\x1f".join(items[i : i + n]) for n in range(low, high + 1) for i in range(len(items) - n + 1)]


def characters(text: str) -> list[str]:
    """Character 1- to 4-grams with sentence borders; long numbers count as one sign."""
    return _ngrams(["^", *_NUMBER.sub("#", text), "$"], 1, 4)


def words(tokens: Sequence[str]) -> list[str]:
    """Word 1- to 2-grams of jieba's tokens."""
    return _ngrams([t for t in tokens if t.strip()], 1, 2)


def sounds(text: str) -> list[str]:
    """Syllable 1- to 3-grams."""
    return _ngrams(["^", *syllables(text), "$"], 1, 3)


def _identity(items: list[str]) -> list[str]:
    return items


def _vectorizer(min_df: int) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=_identity, sublinear_tf=True, min_df=min_df, dtype=np.float32)


class Vectorizer:
    """Turns (normalised text, jieba tokens) into one sparse row; blocks are weighted by `weights`."""

    def __init__(self, weights: tuple[float, float, float] = (1.0, 0.7, 0.7), min_df: int = 2) -> None:
        self.weights = weights
        self.blocks = [_vectorizer(min_df), _vectorizer(min_df), _vectorizer(min_df)]

    @staticmethod
    def _views(texts: Iterable[str], tokens: Iterable[Sequence[str]]) -> list[list[list[str]]]:
        texts = list(texts)
        return [[characters(t) for t in texts], [words(t) for t in tokens], [sounds(t) for t in texts]]

    def fit(self, texts: Sequence[str], tokens: Sequence[Sequence[str]]) -> csr_matrix:
        """Learn the vocabulary; returns the rows of the training sentences (len(texts) × features)."""
        rows = [
            b.fit_transform(v) * w for b, v, w in zip(self.blocks, self._views(texts, tokens), self.weights)
        ]
        return hstack(rows, format="csr", dtype=np.float32)

    def transform(self, texts: Sequence[str], tokens: Sequence[Sequence[str]]) -> csr_matrix:
        """Rows of sentences (len(texts) × features)."""
        rows = [b.transform(v) * w for b, v, w in zip(self.blocks, self._views(texts, tokens), self.weights)]
        return hstack(rows, format="csr", dtype=np.float32)
