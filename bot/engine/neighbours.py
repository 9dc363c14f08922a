"""Retrieval over the examples: a second opinion beside the linear models, and how unlike all examples a message is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix


class Neighbours:
    """Retrieval: the cosine of the most similar example of each class."""

    def __init__(self) -> None:
        self.columns: csr_matrix | None = None  # features × examples
        self.order = np.zeros(0, dtype=np.intp)  # the examples of the first class, of the second …
        self.starts = np.zeros(0, dtype=np.intp)  # where a class that has examples begins in `order`
        self.present = np.zeros(0, dtype=bool)  # whether a class has examples

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Neighbours:
        """Keep the examples (rows of unit length) and their classes (n × classes, bool)."""
        # A sentence has a hundred features: its product with columns kept by feature touches only those.
        self.columns = rows.T.tocsr()
        classes = [np.flatnonzero(column) for column in member.T]
        sizes = np.array([len(some) for some in classes], dtype=np.intp)
        self.order = np.concatenate([*classes, np.zeros(0, dtype=np.intp)])
        self.present = sizes > 0
        self.starts = (np.cumsum(sizes) - sizes)[self.present]
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Best cosine a class, n × classes; 0 for a class without examples."""
        assert self.columns is not None
        best = np.zeros((rows.shape[0], len(self.present)), dtype=np.float32)
        if self.starts.size:
            for i, (start, end) in enumerate(zip(rows.indptr, rows.indptr[1:])):
                # One sentence at a time: a product of sparse matrices would first count what it will hold.
                cosines = self.columns[rows.indices[start:end]].T @ rows.data[start:end]
                best[i, self.present] = np.maximum.reduceat(cosines[self.order], self.starts)
        return best
