"""Linear models over sparse rows: support vector machines, one against the rest, and their weights side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.svm import LinearSVC

from bot.engine.vectors import Rows


class Margins:
    """Signed distances to one hyperplane a class: n × classes, positive on the class's side."""

    def __init__(self, *, balanced: bool, strength: float = 1.0) -> None:
        self.balanced = balanced
        self.strength = strength
        self.weights = np.zeros((0, 0), dtype=np.float32)
        self.bias = np.zeros(0, dtype=np.float32)

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Margins:
        """Learn from rows (n × features) and membership (n × classes, bool); a class may be empty."""
        # In the learner's own precision and order, so that it need not convert the rows for every class.
        rows = rows.astype(np.float64)
        rows.sum_duplicates()
        # One after the other: the learner's random numbers have one state for all threads of a process, and the same
        # examples must give the same model.
        planes = [self._plane(rows, column) for column in member.T]
        weights, bias = [w for w, _ in planes], [b for _, b in planes]
        # Features first and contiguous: SciPy copies a transposed matrix at every product.
        self.weights = np.ascontiguousarray(np.asarray(weights, dtype=np.float32).T)
        self.bias = np.asarray(bias, dtype=np.float32)
        return self

    def _plane(self, rows: csr_matrix, column: np.ndarray) -> tuple[np.ndarray, float]:
        if not column.any() or column.all():
            return np.zeros(rows.shape[1]), 1.0 if column.any() else -1.0
        # "balanced" as for one model over all classes: a rare class weighs as much as a common one.
        weight = "balanced" if self.balanced else None
        model = LinearSVC(C=self.strength, class_weight=weight, random_state=0).fit(rows, column)
        return model.coef_[0].astype(np.float32), float(model.intercept_[0])

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Distances, n × classes."""
        return np.asarray(rows @ self.weights + self.bias)


class Linear(Protocol):
    """What `Heads` takes over: one column of weights (features × columns) and a bias for each answer."""

    weights: np.ndarray
    bias: np.ndarray


class Heads:
    """Several linear models side by side in one matrix: one product reads a sentence for all of them."""

    def __init__(self) -> None:
        self.weights = np.zeros((0, 0), dtype=np.float32)  # features × columns
        self.bias = np.zeros(0, dtype=np.float32)
        self.columns: dict[str, slice] = {}

    def join(self, models: Mapping[str, Linear]) -> Heads:
        """Take over the weights of the models; they keep none."""
        used = {name: model for name, model in models.items() if model.bias.size}
        start = 0
        for name, model in used.items():
            self.columns[name] = slice(start, start + model.bias.size)
            start += model.bias.size
        self.weights = np.hstack([model.weights for model in used.values()])
        self.bias = np.concatenate([model.bias for model in used.values()])
        for model in used.values():
            model.weights = np.zeros((0, 0), dtype=np.float32)
        return self

    def scores(self, rows: Rows) -> np.ndarray:
        """What all models say, n × columns."""
        return np.asarray(rows.values @ self.weights[rows.features] + self.bias)


class OneOf:
    """One label of many by the largest margin: for topics and facets, where no calibration is needed."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.margins = Margins(balanced=True)

    def fit(self, rows: csr_matrix, labels: Sequence[str]) -> OneOf:
        """Learn from rows (n × features) and n labels."""
        self.labels = sorted(set(labels))
        self.margins.fit(rows, np.array([[name == label for label in self.labels] for name in labels]))
        return self

    def rank(self, margins: np.ndarray) -> list[tuple[str, float]]:
        """Labels by their margins, best first, with scores that sum to 1 but are no probabilities."""
        scores = softmax(3.0 * margins)
        return [(self.labels[i], float(scores[i])) for i in np.argsort(-scores)]
