"""The linear models: acts (one of many), measures (any of sixteen), facets, and "is it given at all".

All of them read the same sparse rows (`vectors.Vectorizer`). Linear one-against-rest models over n-grams
measured best at the budget (docs/adr/0003-linear-models.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression


def _logistic(strength: float, *, balanced: bool = False) -> LogisticRegression:
    weight = "balanced" if balanced else None
    return LogisticRegression(C=strength, solver="liblinear", class_weight=weight, random_state=0)


class OneOf:
    """One label of many: one-against-rest logistic regression, scores normalised to sum 1."""

    def __init__(self, strength: float = 12.0) -> None:
        self.strength = strength
        self.labels: list[str] = []
        self.weights = np.zeros((0, 0), dtype=np.float32)
        self.bias = np.zeros(0, dtype=np.float32)

    def fit(self, rows: csr_matrix, labels: Sequence[str]) -> OneOf:
        """Learn from rows (n × features) and n labels; at least two different ones."""
        model = _logistic(self.strength).fit(rows, labels)
        self.labels = [str(c) for c in model.classes_]
        self.weights = model.coef_.astype(np.float32)
        self.bias = model.intercept_.astype(np.float32)
        if len(self.labels) == 2:  # scikit-learn keeps one row for two classes
            self.weights = np.vstack([-self.weights, self.weights])
            self.bias = np.concatenate([-self.bias, self.bias])
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Probabilities, n × labels."""
        raw = 1.0 / (1.0 + np.exp(-(rows @ self.weights.T + self.bias)))
        return raw / raw.sum(axis=1, keepdims=True)

    def rank(self, row: csr_matrix) -> list[tuple[str, float]]:
        """Labels of one row with probability, best first."""
        scores = self.scores(row)[0]
        return [(self.labels[i], float(scores[i])) for i in np.argsort(-scores)]


class AnyOf:
    """Any of the labels: an independent logistic regression a label, probability each."""

    def __init__(self, strength: float = 12.0) -> None:
        self.strength = strength
        self.labels: list[int] = []
        self.weights = np.zeros((0, 0), dtype=np.float32)
        self.bias = np.zeros(0, dtype=np.float32)

    def fit(self, rows: csr_matrix, labels: Sequence[Sequence[int]]) -> AnyOf:
        """Learn from rows (n × features) and, for each, its (possibly empty) labels."""
        self.labels = sorted({label for some in labels for label in some})
        models = [_logistic(self.strength).fit(rows, [label in some for some in labels]) for label in self.labels]
        self.weights = np.vstack([m.coef_ for m in models]).astype(np.float32)
        self.bias = np.concatenate([m.intercept_ for m in models]).astype(np.float32)
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Probabilities, n × labels."""
        return 1.0 / (1.0 + np.exp(-(rows @ self.weights.T + self.bias)))


@dataclass
class Neighbours:
    """Retrieval as a second opinion: cosine similarity to every example, the best kept a label.

    Rows must have unit length. Memory is the examples' own rows.
    """

    rows: Any = None
    labels: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def fit(self, rows: csr_matrix, labels: Sequence[tuple[str, tuple[int, ...]]]) -> Neighbours:
        """Keep the examples; `labels` are (act, measures)."""
        self.rows = _unit(rows)
        self.labels = list(labels)
        return self

    def nearest(self, row: csr_matrix, count: int = 5) -> list[tuple[float, str, tuple[int, ...]]]:
        """The `count` most similar examples as (cosine, act, measures), best first."""
        cosines = (self.rows @ _unit(row).T).toarray().ravel()
        best = np.argpartition(-cosines, min(count, len(cosines) - 1))[:count]
        best = best[np.argsort(-cosines[best])]
        return [(float(cosines[i]), *self.labels[i]) for i in best]


def _unit(rows: csr_matrix) -> csr_matrix:
    norms = np.sqrt(rows.multiply(rows).sum(axis=1)).A.ravel()
    norms[norms == 0] = 1.0
    return csr_matrix(rows.multiply(1.0 / norms[:, None]))


class Given:
    """Whether the notice gives what is asked: logistic regression over the row, the facet and the measure.

    The same question (几天) is given for one measure and open for another, so that both stand beside the words.
    """

    def __init__(self, facets: Sequence[str], strength: float = 8.0) -> None:
        self.facets = list(facets)
        self.model = _logistic(strength)

    def _side(self, facets: Sequence[str], measures: Sequence[Sequence[int]]) -> csr_matrix:
        side = np.zeros((len(facets), len(self.facets) + 17 + len(self.facets) * 17), dtype=np.float32)
        for i, (facet, some) in enumerate(zip(facets, measures)):
            f = self.facets.index(facet)
            side[i, f] = 1
            for m in some:
                side[i, len(self.facets) + m] = 1
                side[i, len(self.facets) + 17 + f * 17 + m] = 1
        return csr_matrix(side)

    def fit(
        self, rows: csr_matrix, facets: Sequence[str], measures: Sequence[Sequence[int]], given: Sequence[bool]
    ) -> Given:
        """Learn from policy questions."""
        self.model.fit(hstack([rows, self._side(facets, measures)], format="csr"), np.asarray(given, dtype=int))
        return self

    def probability(self, row: csr_matrix, facet: str, measures: Sequence[int]) -> float:
        """Probability that the notice says what is asked."""
        return float(self.model.predict_proba(hstack([row, self._side([facet], [measures])], format="csr"))[0, 1])
