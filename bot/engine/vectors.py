"""Sparse features of a sentence: n-grams of characters, of jieba words and of folded pinyin syllables.

TF-IDF as scikit-learn defines it (sublinear counts, smooth idf). It is computed here because its vectorizer takes a
millisecond for one sentence and keeps every n-gram that it left out, which is more than those it uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from bot.engine.sounds import syllables

_NUMBER = re.compile(r"\d{5,}")


def _ngrams(items: Sequence[str], low: int, high: int) -> list[str]:
    return ["\x1f".join(items[i : i + n]) for n in range(low, high + 1) for i in range(len(items) - n + 1)]


def characters(text: str) -> list[str]:
    """Character 1- to 4-grams with sentence borders; long numbers count as one sign."""
    marked = f"^{_NUMBER.sub('#', text)}$"
    return [marked[i : i + n] for n in range(1, 5) for i in range(len(marked) - n + 1)]


def words(tokens: Sequence[str]) -> list[str]:
    """Word 1- to 2-grams of jieba's tokens."""
    return _ngrams([t for t in tokens if t.strip()], 1, 2)


def sounds(text: str) -> list[str]:
    """Syllable 1- to 3-grams."""
    return _ngrams(["^", *syllables(text), "$"], 1, 3)


def _views(text: str, tokens: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    return characters(text), words(tokens), sounds(text)


class Rows(NamedTuple):
    """A few sentences over the features that any of them has: a message and its parts share most of theirs."""

    features: np.ndarray  # u, ascending
    values: np.ndarray  # n × u, rows of unit length or empty


class Vectorizer:
    """Turns (normalised text, jieba tokens) into a row of unit length; blocks are weighted by `weights`."""

    def __init__(self, weights: tuple[float, float, float] = (1.0, 0.7, 0.7), min_df: int = 2) -> None:
        self.weights = weights
        self.min_df = min_df
        self.columns: list[dict[str, int]] = [{}, {}, {}]  # n-gram → column, a block each
        self.idf = np.zeros(0, dtype=np.float32)  # a column each

    def fit(self, texts: Sequence[str], tokens: Sequence[Sequence[str]]) -> csr_matrix:
        """Learn the columns; returns the rows of the training sentences (len(texts) × features)."""
        seen: list[Counter[str]] = [Counter(), Counter(), Counter()]
        for text, some in zip(texts, tokens):
            for counter, view in zip(seen, _views(text, some)):
                counter.update(set(view))
        self.columns = [{}, {}, {}]
        frequency: list[int] = []
        for columns, counter in zip(self.columns, seen):
            for gram, count in sorted(counter.items()):
                if count >= self.min_df:
                    columns[gram] = len(frequency)
                    frequency.append(count)
        self.idf = (np.log((1 + len(texts)) / (1 + np.array(frequency))) + 1).astype(np.float32)
        return self.transform(texts, tokens)

    def transform(self, texts: Iterable[str], tokens: Iterable[Sequence[str]]) -> csr_matrix:
        """Rows of many sentences (len(texts) × features), each as `rows` gives it alone."""
        alone = [self.rows([text], [some]) for text, some in zip(texts, tokens)]
        ends = np.cumsum([0, *(row.features.size for row in alone)])
        none = np.zeros(0, dtype=np.float32)
        values = np.concatenate([none, *(row.values[0] for row in alone)])
        features = np.concatenate([none.astype(np.int32), *(row.features for row in alone)])
        return csr_matrix((values, features, ends), shape=(len(alone), len(self.idf)))

    def rows(self, texts: Iterable[str], tokens: Iterable[Sequence[str]]) -> Rows:
        """Rows of a few sentences; a sentence without a known n-gram is an empty row."""
        found = [Counter(self._lookup(text, some)) for text, some in zip(texts, tokens)]
        features = sorted(set().union(*found) - {None})  # None is what no example has
        counts = np.array([list(map(some.get, features, repeat(0))) for some in found], dtype=np.float32)
        counts = counts.reshape(len(found), len(features))
        chosen = np.array(features, dtype=np.int32)
        values = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * self.idf[chosen]
        # Each block gets the length of its weight, and the row the length 1.
        ends = np.cumsum([len(columns) for columns in self.columns])
        block = np.searchsorted(ends, chosen, side="right")
        lengths = np.sqrt((values * values) @ np.eye(len(ends))[block])  # n × blocks
        weights = np.where(lengths > 0, self.weights, 0)
        whole = np.sqrt((weights * weights).sum(axis=1, keepdims=True))
        scale = weights / np.maximum(lengths * whole, 1e-9)
        return Rows(chosen, (values * scale[:, block]).astype(np.float32))

    def _lookup(self, text: str, tokens: Sequence[str]) -> Iterable[int | None]:
        """The column of each n-gram of a sentence, None for one that has none."""
        views = _views(text, tokens)
        return chain.from_iterable(map(columns.get, view) for columns, view in zip(self.columns, views))
