"""The learned parts: what is kept as arrays says what scikit-learn's estimators would say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack, random
from sklearn.linear_model import LogisticRegression

from bot.engine.examples import FACETS
from bot.engine.linear import Heads, Margins, OneOf
from bot.engine.models import MEASURES, Acts, Given, Measures, Parts
from bot.engine.neighbours import Neighbours
from bot.engine.vectors import Rows

COUNT, WIDTH = 60, 40


@pytest.fixture
def rows() -> csr_matrix:
    made = random(COUNT, WIDTH, density=0.2, format="csr", dtype=np.float32, random_state=0)
    return csr_matrix(made / np.sqrt(made.multiply(made).sum(axis=1)))


def few(rows: csr_matrix) -> Rows:
    """The same rows over the features that any of them has."""
    features = np.unique(rows.indices)
    return Rows(features, rows[:, features].toarray())


def parts() -> Parts:
    noise = np.random.default_rng(0)
    sizes = (3, len(MEASURES), 3, len(MEASURES))
    return Parts(*(noise.normal(size=(COUNT, size)).astype(np.float32) for size in sizes))


def members(classes: int) -> np.ndarray:
    return np.arange(COUNT)[:, None] % classes == np.arange(classes)[None, :]


def test_the_nearest_example_of_each_class(rows: csr_matrix) -> None:
    member = np.hstack([members(3), np.zeros((COUNT, 1), dtype=bool), members(5)])
    member[7, 4] = True  # An example of two classes.
    found = Neighbours().fit(rows, member).scores(rows[:9])
    cosines = (rows[:9] @ rows.T).toarray()
    expected = [[c[m].max() if m.any() else 0.0 for m in member.T] for c in cosines]
    assert np.allclose(found, expected, atol=1e-6)
    assert (found[:, 3] == 0).all()


def test_a_few_sentences_are_as_near_together_as_alone(rows: csr_matrix) -> None:
    near = Neighbours().fit(rows, np.hstack([members(3), members(5)]))
    assert np.allclose(near.nearest(few(rows[:9])), near.scores(rows[:9]), atol=1e-6)


def test_an_empty_row_is_near_to_nothing(rows: csr_matrix) -> None:
    near = Neighbours().fit(rows, members(3))
    assert near.scores(csr_matrix((2, WIDTH), dtype=np.float32)).tolist() == [[0.0] * 3] * 2


def test_without_classes_nothing_is_near(rows: csr_matrix) -> None:
    assert Neighbours().fit(rows, np.zeros((COUNT, 0), dtype=bool)).scores(rows[:2]).shape == (2, 0)


def test_heads_say_what_the_models_said(rows: csr_matrix) -> None:
    first = Margins(balanced=True).fit(rows, members(3))
    second = Margins(balanced=False).fit(rows, members(5))
    apart = np.hstack([first.scores(rows), second.scores(rows)])
    heads = Heads().join({"first": first, "none": Margins(balanced=True), "second": second})
    assert np.allclose(heads.scores(few(rows)), apart, atol=1e-6)
    assert heads.columns == {"first": slice(0, 3), "second": slice(3, 8)}
    assert first.weights.size == 0


def test_a_class_that_all_or_none_have_is_no_plane(rows: csr_matrix) -> None:
    member = np.stack([np.ones(COUNT, dtype=bool), np.zeros(COUNT, dtype=bool)], axis=1)
    assert Margins(balanced=True).fit(rows, member).scores(rows)[0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("labels", [["oos", "policy"], ["chitchat", "oos", "policy"]])
def test_acts_are_a_logistic_regression(labels: list[str]) -> None:
    named = [labels[i % len(labels)] for i in range(COUNT)]
    acts = Acts(labels).fit(parts(), named)
    features = Acts.features(parts())
    model = LogisticRegression(C=1.0, max_iter=500).fit(features, named)
    assert np.allclose(acts.probabilities(parts()), model.predict_proba(features), atol=1e-6)


def test_measures_are_a_logistic_regression() -> None:
    doubt = np.linspace(0, 1, COUNT)
    member = np.random.default_rng(1).random((COUNT, len(MEASURES))) < 0.2
    measures = Measures().fit(parts(), doubt, 1 - doubt, member)
    evidence = Measures.features(parts(), doubt, 1 - doubt)
    model = LogisticRegression(C=1.0, max_iter=1000).fit(evidence.reshape(-1, 7), member.ravel())
    expected = model.predict_proba(evidence.reshape(-1, 7))[:, 1].reshape(-1, len(MEASURES))
    assert np.allclose(measures.probabilities(parts(), doubt, 1 - doubt), expected, atol=1e-6)


def test_what_leads_is_measured_from_the_second_and_the_rest_from_the_best() -> None:
    scores = np.tile(np.linspace(-1, 0, len(MEASURES)), (1, 1))
    scores[0, :2] = (2.0, 1.0)
    evidence = Measures.features(Parts(scores, scores, scores, scores), np.zeros(1), np.zeros(1))
    assert evidence[0, :3, 1].tolist() == [1.0, -1.0, scores[0, 2] - 2.0]


def test_given_is_a_logistic_regression_over_words_facet_and_measures(rows: csr_matrix) -> None:
    facets = [FACETS[i % 4] for i in range(COUNT)]
    measures = [(i % 16 + 1,) if i % 3 else (1, 2, 2) for i in range(COUNT)]
    said = [i % 2 == 0 for i in range(COUNT)]
    given = Given(FACETS).fit(rows, facets, measures, said)
    side = np.zeros((COUNT, len(given.side)))
    for i, (facet, some) in enumerate(zip(facets, measures)):
        f = FACETS.index(facet)
        side[i, f] = 1
        for m in set(some):
            side[i, len(FACETS) + m] = side[i, len(FACETS) + 17 + f * 17 + m] = 1
    model = LogisticRegression(C=8.0, solver="liblinear", class_weight="balanced", random_state=0)
    whole = hstack([rows, csr_matrix(side)], format="csr")
    expected = model.fit(whole, said).predict_proba(whole)[:, 1]
    heads = Heads().join({"given": given})
    said_by_words = heads.scores(few(rows))[:, 0]
    found = [given.probability(said_by_words[i], facets[i], measures[i]) for i in range(COUNT)]
    assert np.allclose(found, expected, atol=1e-4)


def test_one_of_ranks_by_margin() -> None:
    one = OneOf()
    one.labels = ["a", "b", "c"]
    ranked = one.rank(np.array([0.1, 0.9, -0.5]))
    assert [name for name, _ in ranked] == ["b", "a", "c"]
    assert sum(p for _, p in ranked) == pytest.approx(1.0)


def test_the_same_examples_give_the_same_model(rows: csr_matrix) -> None:
    first, second = (Margins(balanced=True, strength=100.0).fit(rows, members(7)) for _ in range(2))
    assert (first.weights == second.weights).all() and (first.bias == second.bias).all()
