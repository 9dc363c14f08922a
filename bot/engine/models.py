"""The models that weigh: acts and measures from margins and neighbours, and whether the notice says what is asked.

`Acts` and `Measures` weigh the margins (`linear`) and the nearest examples (`neighbours`) into calibrated
probabilities. They learn to do so on held-out scores (each example scored by models that did not see it), so that a
score says how often it is right.

scikit-learn learns; what is kept are plain arrays, because reading one sentence with its estimators costs more in
their checks than in arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

MEASURES = tuple(range(1, 17))


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


class Acts:
    """Which act: multinomial logistic regression over margins and neighbours of acts and measures."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)  # sorted
        self.weights = np.zeros((0, 0))
        self.bias = np.zeros(0)

    @staticmethod
    def features(parts: Parts) -> np.ndarray:
        """n × features."""
        # Cosines lie between 0 and 1, margins about between -2 and 2.
        return np.hstack([parts.act, parts.measure, 3 * parts.act_near, 3 * parts.measure_near])

    def fit(self, parts: Parts, labels: Sequence[str]) -> Acts:
        """Learn from held-out scores; each of `self.labels` must be among the `labels`."""
        model = LogisticRegression(C=1.0, max_iter=500).fit(self.features(parts), labels)
        # Of two classes scikit-learn keeps only the second's plane.
        both = len(self.labels) == 2
        self.weights = (np.vstack([-model.coef_, model.coef_]) / 2 if both else model.coef_).T
        self.bias = np.concatenate([-model.intercept_, model.intercept_]) / 2 if both else model.intercept_
        return self

    def probabilities(self, parts: Parts) -> np.ndarray:
        """n × labels, in the order of `labels`."""
        return np.asarray(softmax(self.features(parts) @ self.weights + self.bias, axis=1))


class Measures:
    """Which measures, any of sixteen: one logistic regression shared by all over a measure's evidence.

    The evidence for a measure: its margin, how far it leads or trails, the same of its nearest example, and
    how likely the message is a policy question at all.
    """

    def __init__(self) -> None:
        self.weights = np.zeros(0)
        self.bias = 0.0

    @staticmethod
    def features(parts: Parts, policy: np.ndarray, oos: np.ndarray) -> np.ndarray:
        """n × 16 × features; `policy` and `oos` are the acts' probabilities (n)."""

        def lead(scores: np.ndarray) -> np.ndarray:
            order = np.sort(scores, axis=1)
            best, second = order[:, -1:], order[:, -2:-1]
            return np.where(scores >= best, scores - second, scores - best)

        found = np.empty((*parts.measure.shape, 7))
        found[:, :, 0] = parts.measure
        found[:, :, 1] = lead(parts.measure)
        found[:, :, 2] = parts.measure_near
        found[:, :, 3] = lead(parts.measure_near)
        found[:, :, 4] = policy[:, None]
        found[:, :, 5] = oos[:, None]
        found[:, :, 6] = parts.measure.max(axis=1, keepdims=True)
        return found

    def fit(self, parts: Parts, policy: np.ndarray, oos: np.ndarray, member: np.ndarray) -> Measures:
        """Learn from held-out scores; `member` is n × 16, bool."""
        evidence = self.features(parts, policy, oos)
        model = LogisticRegression(C=1.0, max_iter=1000)
        model.fit(evidence.reshape(-1, evidence.shape[2]), member.ravel())
        self.weights, self.bias = model.coef_[0], float(model.intercept_[0])
        return self

    def probabilities(self, parts: Parts, policy: np.ndarray, oos: np.ndarray) -> np.ndarray:
        """n × 16."""
        return np.asarray(expit(self.features(parts, policy, oos) @ self.weights + self.bias))


class Given:
    """Whether the notice gives what is asked: logistic regression over the row, the facet and the measure.

    The same question (几天) is given for one measure and open for another, so that both stand beside the words.
    """

    def __init__(self, facets: Sequence[str], strength: float = 8.0) -> None:
        self.facets = list(facets)
        self.strength = strength
        self.weights = np.zeros((0, 0), dtype=np.float32)  # of the words: features × 1
        self.bias = np.zeros(0, dtype=np.float32)
        self.side = np.zeros(0)  # of what stands beside the words

    def _beside(self, facet: str, measures: Sequence[int]) -> list[int]:
        """Columns of `side` that are 1: the facet, the measures, and each pair of both."""
        width, numbers = len(self.facets), len(MEASURES) + 1
        f = self.facets.index(facet)
        pairs = [width + numbers + f * numbers + m for m in measures]
        return [f, *(width + m for m in measures), *pairs]

    def fit(
        self,
        rows: csr_matrix,
        facets: Sequence[str],
        measures: Sequence[Sequence[int]],
        given: Sequence[bool],
    ) -> Given:
        """Learn from policy questions."""
        width, numbers = len(self.facets), len(MEASURES) + 1
        side = np.zeros((len(facets), width + numbers + width * numbers), dtype=np.float32)
        for i, (facet, some) in enumerate(zip(facets, measures)):
            side[i, self._beside(facet, some)] = 1
        model = LogisticRegression(
            C=self.strength, solver="liblinear", class_weight="balanced", random_state=0
        ).fit(hstack([rows, csr_matrix(side)], format="csr"), np.asarray(given, dtype=int))
        words = rows.shape[1]
        self.weights = model.coef_[:, :words].T.astype(np.float32)
        self.side = model.coef_[0, words:]
        self.bias = model.intercept_.astype(np.float32)
        return self

    def probability(self, score: float, facet: str, measures: Sequence[int]) -> float:
        """Probability that the notice says what is asked; `score`: what the words say (a column of `Heads`)."""
        return float(expit(score + self.side[self._beside(facet, sorted(set(measures)))].sum()))
