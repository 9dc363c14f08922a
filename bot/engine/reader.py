"""Everything learned in one object: train from examples, read a sentence into scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scipy.sparse import csr_matrix

from bot.engine.examples import FACETS, Example
from bot.engine.gate import Scores
from bot.engine.models import AnyOf, Given, Neighbours, OneOf
from bot.engine.vectors import Vectorizer

MEASURES = tuple(range(1, 17))


def act_label(example: Example) -> str:
    """The act that is learned: an ambiguous policy question is an act of its own, since it is asked back."""
    return "ambiguous" if example.ambiguous else example.act


class Reader:
    """The models of one training. `rows` come from the same `Vectorizer` in training and reading."""

    def __init__(self) -> None:
        self.vectorizer = Vectorizer()
        self.acts = OneOf()
        self.topics = OneOf(6.0)
        self.measures = AnyOf()
        self.facets = OneOf(6.0)
        self.given = Given(FACETS)
        self.neighbours = Neighbours()

    def fit(self, examples: Sequence[Example], tokens: Sequence[Sequence[str]]) -> Reader:
        """Learn from examples whose text is normalised and cut into jieba tokens."""
        rows = self.vectorizer.fit([e.text for e in examples], tokens)
        self.acts.fit(rows, [act_label(e) for e in examples])
        clear = [i for i, e in enumerate(examples) if not e.ambiguous]
        self.measures.fit(rows[clear], [examples[i].measures for i in clear])
        asked = [i for i, e in enumerate(examples) if e.act in ("policy", "followup") and not e.ambiguous]
        self.facets.fit(rows[asked], [examples[i].facet for i in asked])
        policy = [i for i in asked if examples[i].act == "policy"]
        self.given.fit(
            rows[policy],
            [examples[i].facet for i in policy],
            [examples[i].measures for i in policy],
            [examples[i].given for i in policy],
        )
        self._fit_topics(rows, examples)
        self.neighbours.fit(rows, [(act_label(e), e.measures) for e in examples])
        return self

    def _fit_topics(self, rows: csr_matrix, examples: Sequence[Example]) -> None:
        # Topics are labels inside an act ("notice.validity"); too rare ones cannot be learned.
        names = [f"{e.act}.{e.topic or e.facet}" if e.act in TOPICAL else "" for e in examples]
        common = {n for n, c in Counter(names).items() if n and c >= 5}
        chosen = [i for i, n in enumerate(names) if n in common]
        if len({names[i] for i in chosen}) >= 2:
            self.topics.fit(rows[chosen], [names[i] for i in chosen])

    def topic(self, row: csr_matrix, act: str) -> str:
        """The likeliest topic inside `act`, or empty."""
        for name, _ in self.topics.rank(row) if self.topics.labels else ():
            if name.startswith(f"{act}."):
                return name.split(".", 1)[1]
        return ""

    def read(self, row: csr_matrix) -> Scores:
        """Scores of one row."""
        measures = self.measures.scores(row)[0]
        return Scores(
            acts=dict(self.acts.rank(row)),
            measures={n: float(p) for n, p in zip(self.measures.labels, measures)},
            facets=dict(self.facets.rank(row)),
            neighbours=self.neighbours.nearest(row),
            given=lambda facet, some: self.given.probability(row, facet, some),
        )


# Acts whose examples carry topics that the answer depends on.
TOPICAL = frozenset({"notice", "chitchat", "emergency", "correct"})
