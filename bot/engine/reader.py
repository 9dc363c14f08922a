"""Everything learned in one object: train from examples, read a sentence into scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.model_selection import KFold

from bot.engine.examples import FACETS, Example
from bot.engine.gate import Part, Scores
from bot.engine.linear import Heads, Margins, OneOf
from bot.engine.models import MEASURES, Acts, Given, Measures, Parts
from bot.engine.neighbours import Neighbours
from bot.engine.segments import adds, asks, bare, denied, split
from bot.engine.vectors import Rows, Vectorizer

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
        self.heads = Heads()  # act, measure, facet, topic, given
        self.neighbours = Neighbours()  # classes: the acts, the sixteen measures, the `meanings`
        self.meanings: list[tuple[int, ...]] = []  # sets of measures that the same words may mean
        self.acts = Acts(())
        self.measures = Measures()
        self.topics = OneOf()
        self.facets = OneOf()
        self.given = Given(FACETS)

    def fit(self, examples: Sequence[Example], tokens: Sequence[Sequence[str]]) -> Reader:
        """Learn from examples whose text is normalised and cut into jieba tokens."""
        rows = self.vectorizer.fit([e.text for e in examples], tokens)
        names = [act_label(e) for e in examples]
        labels = sorted(set(names))
        act = np.array([[name == label for label in labels] for name in names])
        measure = np.array([[n in e.measures and not e.ambiguous for n in MEASURES] for e in examples])
        held_out = _held_out(rows, act, measure)
        self.acts = Acts(labels).fit(held_out, names)
        clear = np.array([not e.ambiguous for e in examples])
        policy, oos = self._doubt(self.acts.probabilities(held_out))
        self.measures.fit(held_out.take(clear), policy[clear], oos[clear], measure[clear])
        self.meanings = sorted({e.measures for e in examples if e.ambiguous})
        meaning = np.array([[e.ambiguous and e.measures == some for some in self.meanings] for e in examples])
        self.neighbours.fit(rows, np.hstack([act, measure, meaning.astype(bool)]))
        self._fit_facets(rows, examples)
        self._fit_topics(rows, examples)
        self.heads.join(
            {
                "act": Margins(balanced=True).fit(rows, act),
                "measure": Margins(balanced=False).fit(rows, measure),
                "facet": self.facets.margins,
                "topic": self.topics.margins,
                "given": self.given,
            }
        )
        return self

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

    def _doubt(self, acts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns of `acts` (n × labels) for a policy question and for what is out of scope."""
        return acts[:, self.acts.labels.index("policy")], acts[:, self.acts.labels.index("oos")]

    def rows(self, texts: Sequence[str], tokens: Sequence[Sequence[str]]) -> Rows:
        """The features of normalised sentences, a row each."""
        return self.vectorizer.rows(texts, tokens)

    def understand(self, text: str, cut: Callable[[str], list[str]]) -> tuple[Scores, np.ndarray]:
        """Everything about one normalised message, and its margins for `topic`; `cut` makes jieba tokens."""
        segments = split(text)
        texts = [text, *map(bare, segments)]
        return self.read(self.rows(texts, list(map(cut, texts))), segments)

    def topic(self, margins: np.ndarray, act: str) -> str:
        """The likeliest topic inside `act`, or empty; `margins` are those of `understand`."""
        for name, _ in self.topics.rank(margins[self.heads.columns["topic"]]) if self.topics.labels else ():
            if name.startswith(f"{act}."):
                return name.split(".", 1)[1]
        return ""

    def read(self, rows: Rows, segments: Sequence[str] = ()) -> tuple[Scores, np.ndarray]:
        """Scores and margins of the first row; the rows after it are those of the message's `segments`."""
        margins, near = self.heads.scores(rows), self.neighbours.nearest(rows)
        last = len(self.acts.labels)
        columns = self.heads.columns
        parts = Parts(
            margins[:, columns["act"]],
            margins[:, columns["measure"]],
            near[:, :last],
            near[:, last : last + len(MEASURES)],
        )
        acts = self.acts.probabilities(parts)
        measures = self.measures.probabilities(parts, *self._doubt(acts)).tolist()
        meaning = near[0, last + len(MEASURES) :]
        given = float(margins[0, columns["given"]][0])
        scores = Scores(
            acts={self.acts.labels[i]: float(acts[0, i]) for i in np.argsort(-acts[0])},
            measures=dict(zip(MEASURES, measures[0])),
            facets=dict(self.facets.rank(margins[0, columns["facet"]])),
            near=float(parts.act_near[0].max()),
            meanings=self.meanings[int(meaning.argmax())] if self.meanings else (),
            given=lambda facet, some: self.given.probability(given, facet, some),
            parts=tuple(
                Part(
                    self.acts.labels[int(acts[i].argmax())],
                    float(acts[i].max()),
                    dict(zip(MEASURES, measures[i])),
                    denied(segment),
                    asks(segment),
                    adds(segment),
                )
                for i, segment in enumerate(segments, 1)
            ),
        )
        return scores, margins[0]


def _held_out(rows: csr_matrix, act: np.ndarray, measure: np.ndarray) -> Parts:
    """Scores of each example by models that did not see it."""
    acts = act.shape[1]
    both = np.hstack([act, measure])
    margins, near = np.zeros(both.shape, dtype=np.float32), np.zeros(both.shape, dtype=np.float32)
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(rows):
        some, others = rows[seen], rows[unseen]
        margins[unseen, :acts] = Margins(balanced=True).fit(some, act[seen]).scores(others)
        margins[unseen, acts:] = Margins(balanced=False).fit(some, measure[seen]).scores(others)
        near[unseen] = Neighbours().fit(some, both[seen]).scores(others)
    return Parts(margins[:, :acts], margins[:, acts:], near[:, :acts], near[:, acts:])
