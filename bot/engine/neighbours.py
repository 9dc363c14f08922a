"""Retrieval over the examples: a second opinion beside the linear models, and how unlike all examples a message is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

# Features of more than this share of the examples (的, 吗, the borders of a sentence) hold 3 % of a row's length and
# nine tenths of what a look would have to add up.
COMMON = 0.05


class Neighbours:
    """Retrieval: the cosine of the most similar example of each class, common features left out."""

    def __init__(self) -> None:
        self.examples = 0
        # The postings of feature f are `starts[f]` to `starts[f + 1]` of `holders` (examples) and `values`.
        self.starts = np.zeros(1, dtype=np.int64)
        self.counts = np.zeros(0, dtype=bool)  # whether a feature counts: it is not too common
        self.holders = np.zeros(0, dtype=np.int32)
        self.values = np.zeros(0, dtype=np.float32)
        self.order = np.zeros(0, dtype=np.intp)  # the examples of the first class, of the second …
        self.begins = np.zeros(0, dtype=np.intp)  # where a class that has examples begins in `order`
        self.present = np.zeros(0, dtype=bool)  # whether a class has examples

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Neighbours:
        """Keep the examples (rows of unit length) and their classes (n × classes, bool)."""
        self.examples = rows.shape[0]
        columns = rows.T.tocsr()
        holders = np.diff(columns.indptr)
        self.counts = holders <= max(COMMON * self.examples, 50)
        kept = np.repeat(self.counts, holders)
        self.holders, values = columns.indices[kept], columns.data[kept]
        # What is left of an example has the length 1 again.
        lengths = np.sqrt(np.bincount(self.holders, values * values, minlength=self.examples))
        self.values = (values / lengths[self.holders]).astype(np.float32)
        self.starts = np.concatenate([[0], np.cumsum(np.where(self.counts, holders, 0))])
        classes = [np.flatnonzero(column) for column in member.T]
        sizes = np.array([len(some) for some in classes], dtype=np.intp)
        self.order = np.concatenate([*classes, np.zeros(0, dtype=np.intp)])
        self.present = sizes > 0
        self.begins = (np.cumsum(sizes) - sizes)[self.present]
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Best cosine a class, n × classes; 0 for a class without examples."""
        best = np.zeros((rows.shape[0], len(self.present)), dtype=np.float32)
        if self.begins.size:
            for i, (start, end) in enumerate(zip(rows.indptr, rows.indptr[1:])):
                cosines = self._cosines(rows.indices[start:end], rows.data[start:end])
                best[i, self.present] = np.maximum.reduceat(cosines[self.order], self.begins)
        return best

    def _cosines(self, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of one sentence with each example: the postings of its features added up."""
        weights = np.where(self.counts[features], weights, 0)
        weights = weights / max(float(np.sqrt((weights * weights).sum())), 1e-9)
        first = self.starts[features]
        counts = self.starts[features + 1] - first
        # Where each posting stands: the first of its feature, then one after the other.
        before = np.cumsum(counts) - counts
        at = np.repeat(first - before, counts) + np.arange(counts.sum())
        products = self.values[at] * np.repeat(weights, counts)
        return np.bincount(self.holders[at], products, minlength=self.examples)
