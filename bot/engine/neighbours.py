"""Retrieval over the examples: a second opinion beside the linear models, and how unlike all examples a message is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from bot.engine.vectors import Rows

# Features of more than this share of the examples (的, 吗, the borders of a sentence) hold 3 % of a row's length and
# nine tenths of what a look would have to add up.
COMMON = 0.05


class Neighbours:
    """Retrieval: the cosine of the most similar example of each class, common features left out.

    Examples of the same classes form a group and stand side by side, so that the best of a group is the maximum of
    a slice, and the best of a class the maximum over its groups.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(0, dtype=bool)  # whether a feature counts: it is not too common
        self.postings = csr_matrix((0, 0), dtype=np.float32)  # features × examples, in the order of groups
        self.begins = np.zeros(0, dtype=np.intp)  # where each group begins
        self.groups = np.zeros(0, dtype=np.intp)  # the groups of the first class, of the second …
        self.starts = np.zeros(0, dtype=np.intp)  # where a class that has examples begins in `groups`
        self.present = np.zeros(0, dtype=bool)  # whether a class has examples

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Neighbours:
        """Keep the examples (rows of unit length) and their classes (n × classes, bool)."""
        self.present = member.any(axis=0)
        if not self.present.any():
            return self
        kinds, group = np.unique(member, axis=0, return_inverse=True)  # kinds: groups × classes
        order = np.argsort(group, kind="stable")
        self.begins = np.searchsorted(group[order], np.arange(len(kinds)))
        classes, self.groups = np.nonzero(kinds.T)
        self.starts = np.searchsorted(classes, np.flatnonzero(self.present))
        postings = rows[order].T.tocsr()
        holders = np.diff(postings.indptr)
        self.counts = holders <= max(COMMON * len(order), 50)
        postings.data[~np.repeat(self.counts, holders)] = 0
        postings.eliminate_zeros()
        # What is left of an example has the length 1 again.
        lengths = np.sqrt(np.bincount(postings.indices, postings.data**2, minlength=len(order)))
        postings.data = (postings.data / lengths[postings.indices]).astype(np.float32)
        self.postings = postings
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Best cosine a class of many sentences, n × classes; 0 for a class without examples."""
        found = [
            self.nearest(Rows(rows.indices[start:end], rows.data[None, start:end]))
            for start, end in zip(rows.indptr, rows.indptr[1:])
        ]
        return np.concatenate([np.zeros((0, len(self.present)), dtype=np.float32), *found])

    def nearest(self, rows: Rows) -> np.ndarray:
        """The same of a few sentences at once, whose postings are looked up once."""
        best = np.zeros((len(rows.values), len(self.present)), dtype=np.float32)
        if self.begins.size:
            weights = rows.values * self.counts[rows.features]
            lengths = np.sqrt((weights * weights).sum(axis=1, keepdims=True))
            cosines = self.postings[rows.features].T @ (weights / np.maximum(lengths, 1e-9)).T
            groups = np.maximum.reduceat(np.ascontiguousarray(cosines.T), self.begins, axis=1)
            best[:, self.present] = np.maximum.reduceat(groups[:, self.groups], self.starts, axis=1)
        return best
