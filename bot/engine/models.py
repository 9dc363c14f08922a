"""The learned parts: linear models over sparse rows, retrieval, and two small models that weigh them.

`Margins` are linear support vector machines, one against the rest; `Neighbours` is retrieval over the
examples. `Acts` and `Measures` weigh both into calibrated probabilities and learn to do so on held-out
scores (each example scored by models that did not see it), so that a score says how often it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

MEASURES = tuple(range(1, 17))


def unit(rows: csr_matrix) -> csr_matrix:
    """Rows of unit length, so that a product is a cosine."""
    return normalize(rows, copy=True)


class Margins:
    """Signed distances to one hyperplane a class: n × classes, positive on the class's side."""

    def __init__(self, *, balanced: bool, strength: float = 1.0) -> None:
        self.balanced = balanced
        self.strength = strength
        self.weights = np.zeros((0, 0), dtype=np.float32)
        self.bias = np.zeros(0, dtype=np.float32)

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Margins:
        """Learn from rows (n × features) and membership (n × classes, bool); a class may be empty."""
        # In the learner's own precision and order, so that no thread has to convert the rows they share.
        rows = rows.astype(np.float64)
        rows.sum_duplicates()
        with ThreadPoolExecutor() as pool:
            planes = list(pool.map(lambda column: self._plane(rows, column), member.T))
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
        return model.coef_[0], float(model.intercept_[0])

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Distances, n × classes."""
        return np.asarray(rows @ self.weights + self.bias)


class Neighbours:
    """Retrieval: the cosine of the most similar example of each class."""

    def __init__(self) -> None:
        self.columns: csr_matrix | None = None  # features × examples
        self.classes: list[np.ndarray] = []  # indices of the examples of each class

    def fit(self, rows: csr_matrix, member: np.ndarray) -> Neighbours:
        """Keep the examples (rows of unit length) and their classes (n × classes, bool)."""
        # A sentence has a hundred features: its product with columns kept by feature touches only those.
        self.columns = rows.T.tocsr()
        self.classes = [np.flatnonzero(column) for column in member.T]
        return self

    def scores(self, rows: csr_matrix) -> np.ndarray:
        """Best cosine a class, n × classes; 0 for a class without examples."""
        assert self.columns is not None
        cosines = (rows @ self.columns).toarray()
        best = np.zeros((rows.shape[0], len(self.classes)), dtype=np.float32)
        for k, chosen in enumerate(self.classes):
            if len(chosen):
                best[:, k] = cosines[:, chosen].max(axis=1)
        return best


class Acts:
    """Which act: multinomial logistic regression over margins and neighbours of acts and measures."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.model = LogisticRegression(C=1.0, max_iter=500)

    @staticmethod
    def features(parts: Parts) -> np.ndarray:
        """n × features."""
        # Cosines lie between 0 and 1, margins about between -2 and 2.
        return np.hstack([parts.act, parts.measure, 3 * parts.act_near, 3 * parts.measure_near])

    def fit(self, parts: Parts, labels: Sequence[str]) -> Acts:
        """Learn from held-out scores."""
        self.model.fit(self.features(parts), labels)
        return self

    def probabilities(self, parts: Parts) -> np.ndarray:
        """n × labels, in the order of `labels`."""
        found = self.model.predict_proba(self.features(parts))
        order = {str(c): i for i, c in enumerate(self.model.classes_)}
        return np.stack(
            [found[:, order[a]] if a in order else np.zeros(len(found)) for a in self.labels], axis=1
        )


class Measures:
    """Which measures, any of sixteen: one logistic regression shared by all over a measure's evidence.

    The evidence for a measure: its margin, how far it leads or trails, the same of its nearest example, and
    how likely the message is a policy question at all.
    """

    def __init__(self) -> None:
        self.model = LogisticRegression(C=1.0, max_iter=1000)

    @staticmethod
    def features(parts: Parts, policy: np.ndarray, oos: np.ndarray) -> np.ndarray:
        """n × 16 × features; `policy` and `oos` are the acts' probabilities (n)."""

        def lead(scores: np.ndarray) -> np.ndarray:
            order = np.sort(scores, axis=1)[:, ::-1]
            best, second = order[:, :1], order[:, 1:2]
            return np.where(scores >= best, scores - second, scores - best)

        wide = np.ones((1, len(MEASURES)))
        return np.stack(
            [
                parts.measure,
                lead(parts.measure),
                parts.measure_near,
                lead(parts.measure_near),
                policy[:, None] * wide,
                oos[:, None] * wide,
                parts.measure.max(axis=1, keepdims=True) * wide,
            ],
            axis=2,
        )

    def fit(self, parts: Parts, policy: np.ndarray, oos: np.ndarray, member: np.ndarray) -> Measures:
        """Learn from held-out scores; `member` is n × 16, bool."""
        evidence = self.features(parts, policy, oos)
        self.model.fit(evidence.reshape(-1, evidence.shape[2]), member.ravel())
        return self

    def probabilities(self, parts: Parts, policy: np.ndarray, oos: np.ndarray) -> np.ndarray:
        """n × 16."""
        evidence = self.features(parts, policy, oos)
        found = self.model.predict_proba(evidence.reshape(-1, evidence.shape[2]))[:, 1]
        return found.reshape(-1, len(MEASURES))


class Parts:
    """The raw scores of n sentences: margins and nearest cosines of acts and of measures."""

    def __init__(
        self, act: np.ndarray, measure: np.ndarray, act_near: np.ndarray, measure_near: np.ndarray
    ) -> None:
        self.act, self.measure = act, measure
        self.act_near, self.measure_near = act_near, measure_near

    def take(self, chosen: np.ndarray) -> Parts:
        """The scores of some of the sentences."""
        return Parts(self.act[chosen], self.measure[chosen], self.act_near[chosen], self.measure_near[chosen])


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

    def rank(self, row: csr_matrix) -> list[tuple[str, float]]:
        """Labels of one row, best first, with scores that sum to 1 but are no probabilities."""
        raw = np.exp(3.0 * self.margins.scores(row)[0])
        scores = raw / raw.sum()
        return [(self.labels[i], float(scores[i])) for i in np.argsort(-scores)]


class Given:
    """Whether the notice gives what is asked: logistic regression over the row, the facet and the measure.

    The same question (几天) is given for one measure and open for another, so that both stand beside the words.
    """

    def __init__(self, facets: Sequence[str], strength: float = 8.0) -> None:
        self.facets = list(facets)
        self.model = LogisticRegression(
            C=strength, solver="liblinear", class_weight="balanced", random_state=0
        )

    def _side(self, facets: Sequence[str], measures: Sequence[Sequence[int]]) -> csr_matrix:
        width, numbers = len(self.facets), len(MEASURES) + 1
        side = np.zeros((len(facets), width + numbers + width * numbers), dtype=np.float32)
        for i, (facet, some) in enumerate(zip(facets, measures)):
            f = self.facets.index(facet)
            side[i, f] = 1
            for m in some:
                side[i, width + m] = 1
                side[i, width + numbers + f * numbers + m] = 1
        return csr_matrix(side)

    def fit(
        self,
        rows: csr_matrix,
        facets: Sequence[str],
        measures: Sequence[Sequence[int]],
        given: Sequence[bool],
    ) -> Given:
        """Learn from policy questions."""
        self.model.fit(
            hstack([rows, self._side(facets, measures)], format="csr"), np.asarray(given, dtype=int)
        )
        return self

    def probability(self, row: csr_matrix, facet: str, measures: Sequence[int]) -> float:
        """Probability that the notice says what is asked."""
        return float(
            self.model.predict_proba(hstack([row, self._side([facet], [measures])], format="csr"))[0, 1]
        )
