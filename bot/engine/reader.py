"""Everything learned in one object: train from examples, read a sentence into scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.model_selection import KFold

from bot.engine.examples import FACETS, Example
from bot.engine.gate import Part, Scores
from bot.engine.models import MEASURES, Acts, Given, Margins, Measures, Neighbours, OneOf, Parts, unit
from bot.engine.segments import asks, denied, split
from bot.engine.vectors import Vectorizer

FOLDS = 3  # More learn no better and train longer.
# Acts whose examples carry topics that the answer depends on.
TOPICAL = frozenset({"notice", "chitchat", "emergency", "correct"})


def act_label(example: Example) -> str:
    """The act that is learned: an ambiguous policy question is an act of its own, since it is asked back."""
    return "ambiguous" if example.ambiguous else example.act


class Reader:
    """The models of one training. Rows come from the same `Vectorizer` in training and reading."""

    def __init__(self) -> None:
        self.vectorizer = Vectorizer()
        self.act_margins = Margins(balanced=True)
        self.measure_margins = Margins(balanced=False)
        self.neighbours = Neighbours()  # classes: the acts, then the sixteen measures
        self.ambiguous = Neighbours()  # one class for each set of measures that the same words may mean
        self.meanings: list[tuple[int, ...]] = []
        self.acts = Acts(())
        self.measures = Measures()
        self.topics = OneOf()
        self.facets = OneOf()
        self.given = Given(FACETS)

    def fit(self, examples: Sequence[Example], tokens: Sequence[Sequence[str]]) -> Reader:
        """Learn from examples whose text is normalised and cut into jieba tokens."""
        rows = unit(self.vectorizer.fit([e.text for e in examples], tokens))
        names = [act_label(e) for e in examples]
        labels = sorted(set(names))
        act = np.array([[name == label for label in labels] for name in names])
        measure = np.array([[n in e.measures and not e.ambiguous for n in MEASURES] for e in examples])
        held_out = self._held_out(rows, act, measure)
        self._fit_parts(rows, act, measure)
        self.acts = Acts(labels).fit(held_out, names)
        clear = np.array([not e.ambiguous for e in examples])
        policy, oos = self._doubt(held_out)
        self.measures.fit(held_out.take(clear), policy[clear], oos[clear], measure[clear])
        self._fit_facets(rows, examples)
        self._fit_topics(rows, examples)
        unclear = [i for i, e in enumerate(examples) if e.ambiguous]
        self.meanings = sorted({examples[i].measures for i in unclear})
        member = np.array(
            [[examples[i].measures == some for some in self.meanings] for i in unclear], dtype=bool
        )
        if unclear:
            self.ambiguous.fit(rows[unclear], member)
        return self

    def _fit_parts(self, rows: csr_matrix, act: np.ndarray, measure: np.ndarray) -> None:
        self.act_margins.fit(rows, act)
        self.measure_margins.fit(rows, measure)
        self.neighbours.fit(rows, np.hstack([act, measure]))

    def _parts(self, rows: csr_matrix) -> Parts:
        near = self.neighbours.scores(rows)
        acts = near.shape[1] - len(MEASURES)
        return Parts(
            self.act_margins.scores(rows), self.measure_margins.scores(rows), near[:, :acts], near[:, acts:]
        )

    def _held_out(self, rows: csr_matrix, act: np.ndarray, measure: np.ndarray) -> Parts:
        """Scores of each example by models that did not see it."""
        count = rows.shape[0]
        whole = Parts(
            *(np.zeros((count, n)) for n in (act.shape[1], len(MEASURES), act.shape[1], len(MEASURES)))
        )
        for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(rows):
            self._fit_parts(rows[seen], act[seen], measure[seen])
            part = self._parts(rows[unseen])
            whole.act[unseen], whole.measure[unseen] = part.act, part.measure
            whole.act_near[unseen], whole.measure_near[unseen] = part.act_near, part.measure_near
        return whole

    def _doubt(self, parts: Parts) -> tuple[np.ndarray, np.ndarray]:
        found = self.acts.probabilities(parts)
        return found[:, self.acts.labels.index("policy")], found[:, self.acts.labels.index("oos")]

    def _fit_facets(self, rows: csr_matrix, examples: Sequence[Example]) -> None:
        asked = [i for i, e in enumerate(examples) if e.act in ("policy", "followup") and not e.ambiguous]
        self.facets.fit(rows[asked], [examples[i].facet for i in asked])
        policy = [i for i in asked if examples[i].act == "policy"]
        self.given.fit(
            rows[policy],
            [examples[i].facet for i in policy],
            [examples[i].measures for i in policy],
            [examples[i].given for i in policy],
        )

    def _fit_topics(self, rows: csr_matrix, examples: Sequence[Example]) -> None:
        # Topics are labels inside an act ("notice.validity"); too rare ones cannot be learned.
        names = [f"{e.act}.{e.topic or e.facet}" if e.act in TOPICAL else "" for e in examples]
        common = {n for n, c in Counter(names).items() if n and c >= 5}
        chosen = [i for i, n in enumerate(names) if n in common]
        if len({names[i] for i in chosen}) >= 2:
            self.topics.fit(rows[chosen], [names[i] for i in chosen])

    def rows(self, texts: Sequence[str], tokens: Sequence[Sequence[str]]) -> csr_matrix:
        """The features of normalised sentences, len(texts) × features."""
        return unit(self.vectorizer.transform(texts, tokens))

    def understand(self, text: str, cut: Callable[[str], list[str]]) -> tuple[Scores, csr_matrix]:
        """Everything about one normalised message, and its row; `cut` makes the tokens."""
        segments = split(text)
        rows = self.rows([text, *segments], [cut(text), *map(cut, segments)])
        scores = self.read(rows[:1])
        if segments:
            scores = replace(scores, parts=self.parts_of(segments, rows[1:]))
        return scores, rows[:1]

    def topic(self, row: csr_matrix, act: str) -> str:
        """The likeliest topic inside `act`, or empty."""
        for name, _ in self.topics.rank(row) if self.topics.labels else ():
            if name.startswith(f"{act}."):
                return name.split(".", 1)[1]
        return ""

    def parts_of(self, segments: Sequence[str], rows: csr_matrix) -> tuple[Part, ...]:
        """The parts of one message, read for themselves; `rows` are theirs (parts × features)."""
        scores = self._parts(rows)
        acts = self.acts.probabilities(scores)
        policy, oos = self._doubt(scores)
        measures = self.measures.probabilities(scores, policy, oos)
        return tuple(
            Part(
                self.acts.labels[int(acts[i].argmax())],
                float(acts[i].max()),
                {n: float(p) for n, p in zip(MEASURES, measures[i])},
                denied(segment),
                asks(segment),
            )
            for i, segment in enumerate(segments)
        )

    def read(self, row: csr_matrix) -> Scores:
        """Scores of one row."""
        parts = self._parts(row)
        acts = self.acts.probabilities(parts)[0]
        policy, oos = self._doubt(parts)
        measures = self.measures.probabilities(parts, policy, oos)[0]
        order = np.argsort(-acts)
        return Scores(
            acts={self.acts.labels[i]: float(acts[i]) for i in order},
            measures={n: float(p) for n, p in zip(MEASURES, measures)},
            facets=dict(self.facets.rank(row)),
            near=float(parts.act_near.max()),
            meanings=self.meanings[int(self.ambiguous.scores(row)[0].argmax())] if self.meanings else (),
            given=lambda facet, some: self.given.probability(row, facet, some),
        )
