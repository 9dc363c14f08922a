"""Sparse features of a sentence: n-grams of characters, of jieba words and of folded pinyin syllables.

TF-IDF as scikit-learn defines it (sublinear counts, smooth idf). It is computed here because its vectorizer takes a
millisecond for one sentence and keeps every n-gram that it left out, which is more than those it uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

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


class Vectorizer:
    """Turns (normalised text, jieba tokens) into one sparse row of unit length; blocks are weighted by `weights`."""

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
        """Rows of sentences (len(texts) × features); a sentence without a known n-gram is an empty row."""
        indices: list[int] = []
        counts: list[int] = []
        ends = [0]  # of the blocks of the rows, three a row
        for text, some in zip(texts, tokens):
            for columns, view in zip(self.columns, _views(text, some)):
                found = Counter(map(columns.get, view))
                found.pop(None, None)  # what no example has
                indices += found
                counts += found.values()
                ends.append(len(indices))
        chosen = np.array(indices, dtype=np.int32)
        values = (1 + np.log(np.array(counts, dtype=np.float32))) * self.idf[chosen]
        # Each block gets the length of its weight, and the row the length 1.
        starts = np.array(ends, dtype=np.int32)
        block = np.repeat(np.arange(len(ends) - 1), np.diff(starts))
        lengths = np.sqrt(np.bincount(block, values * values, minlength=len(ends) - 1)).reshape(-1, 3)
        weights = np.where(lengths > 0, self.weights, 0.0)
        whole = np.sqrt((weights * weights).sum(axis=1, keepdims=True))
        scale = weights / np.where(lengths > 0, lengths, 1.0) / np.where(whole > 0, whole, 1.0)
        values = (values * scale.ravel()[block]).astype(np.float32)
        return csr_matrix((values, chosen, starts[::3]), shape=(len(starts) // 3, len(self.idf)))
