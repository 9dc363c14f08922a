"""The models that were compared for reading a message, on the same data, in one run (docs/adr/0003).

Engine environment: `.venv-engine/bin/python -m tests.bench.candidates [--sample N] [--textcat-examples N]`. Prints one
row a candidate: share of messages with the right act, policy questions with exactly the right measures, policy
questions with none of them right, out-of-scope messages given a measure, seconds of training, milliseconds a message
(both of processor time, all cores: other programs on the machine hardly move it).
With `--sample` all learn from the sample that `tests.bench.compare` gives to DIET, which stands in
`docs/bench/sample.md`, because it is measured with all of Rasa around it.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jieba
import numpy as np
import spacy
from spacy.training import Example as SpacyExample

from bot.engine.examples import Example, distinct, read
from bot.engine.gate import Context, Gate
from bot.engine.linear import Margins
from bot.engine.models import MEASURES
from bot.engine.neighbours import Neighbours
from bot.engine.reader import Reader, act_label
from bot.engine.text import normalise
from bot.engine.vectors import Vectorizer
from tests.bench.sample import choose

ROOT = Path(__file__).parent.parent.parent
ACT_OF_KIND = {
    "policy": {"policy", "ambiguous", "ask_back"},
    "policy_facet": {"policy", "ambiguous", "ask_back"},
    "meta": {"notice"},
    "complaint": {"complaint", "request"},
    "oos": {"oos", "chitchat", "unclear"},
}
# act, measures
Answer = tuple[str, set[int]]
Reads = Callable[[str], Answer]


@dataclass(frozen=True)
class Question:
    """One held-out message."""

    text: str
    kind: str
    measures: tuple[frozenset[int], ...]


def questions(path: Path) -> list[Question]:
    """The rows of a message TSV, normalised."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Question(
            normalise(row["text"]) or "?",
            row["kind"],
            tuple(frozenset(map(int, some.split(","))) for some in row["measures"].split("|") if some),
        )
        for row in rows
        if row["style"] != "injection"
    ]


def examples() -> list[Example]:
    """The training examples, normalised and distinct."""
    found = distinct(replace(e, text=normalise(e.text)) for e in read(ROOT / "nlu_data"))
    return [e for e in found if e.text]


def linear(data: Sequence[Example], weights: tuple[float, float, float]) -> Reads:
    """Margins alone over n-gram blocks (characters, words, syllables)."""
    vectors = Vectorizer(weights)
    rows = vectors.fit([e.text for e in data], [jieba.lcut(e.text) for e in data])
    labels = sorted({act_label(e) for e in data})
    acts = Margins(balanced=True).fit(rows, np.array([[act_label(e) == a for a in labels] for e in data]))
    measures = Margins(balanced=False).fit(
        rows, np.array([[n in e.measures for n in MEASURES] for e in data])
    )

    def answer(text: str) -> Answer:
        row = vectors.transform([text], [jieba.lcut(text)])
        act = labels[int(acts.scores(row)[0].argmax())]
        margins = measures.scores(row)[0]
        chosen = {n for n, m in zip(MEASURES, margins) if m > 0} or {MEASURES[int(margins.argmax())]}
        return act, chosen if act == "policy" else set()

    return answer


def retrieval(data: Sequence[Example]) -> Reads:
    """The act and measures of the most similar example."""
    vectors = Vectorizer()
    rows = vectors.fit([e.text for e in data], [jieba.lcut(e.text) for e in data])
    meanings = sorted({(act_label(e), e.measures) for e in data})
    member = np.array([[(act_label(e), e.measures) == m for m in meanings] for e in data])
    near = Neighbours().fit(rows, member)

    def answer(text: str) -> Answer:
        row = vectors.transform([text], [jieba.lcut(text)])
        act, measures = meanings[int(near.scores(row)[0].argmax())]
        return act, set(measures) if act == "policy" else set()

    return answer


def ours(data: Sequence[Example], *, gate: bool) -> Reads:
    """Margins and retrieval as second opinion, weighed by calibrated models; with the gate it is what is in use."""
    reader = Reader().fit(data, [jieba.lcut(e.text) for e in data])

    def answer(text: str) -> Answer:
        scores, _ = reader.understand(text, jieba.lcut)
        if not gate:
            best = scores.best()
            chosen = {n for n, p in best if p >= 0.5} or {best[0][0]}
            return scores.act, chosen if scores.act == "policy" else set()
        reading = Gate().decide(text, scores, Context())
        return reading.intent, set(reading.measures)

    return answer


def textcat(data: Sequence[Example], epochs: int) -> Reads:
    """spaCy's multi-label text classifier (bag of n-grams) on jieba's words: acts and measures as labels."""
    nlp = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "jieba"}}})
    pipe = nlp.add_pipe(
        "textcat_multilabel",
        config={"model": {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": False, "ngram_size": 3,
                          "no_output_layer": False, "length": 262144}},
    )  # fmt: skip
    labels = sorted({act_label(e) for e in data}) + [f"m{n}" for n in MEASURES]
    for label in labels:
        pipe.add_label(label)
    pairs = [
        SpacyExample.from_dict(
            nlp.make_doc(e.text),
            {"cats": {a: float(a == act_label(e) or a in {f"m{n}" for n in e.measures}) for a in labels}},
        )
        for e in data
    ]
    nlp.initialize(lambda: pairs[:500])
    order = random.Random(0)
    for _ in range(epochs):
        order.shuffle(pairs)
        for start in range(0, len(pairs), 64):
            nlp.update(pairs[start : start + 64], drop=0.2)
    acts = [a for a in labels if not a.startswith("m") or a in ("match", "more")]

    def answer(text: str) -> Answer:
        cats = nlp(text).cats
        act = max(acts, key=lambda a: cats[a])
        best = max(MEASURES, key=lambda n: cats[f"m{n}"])
        chosen = {n for n in MEASURES if cats[f"m{n}"] >= 0.5} or {best}
        return act, chosen if act == "policy" else set()

    return answer


def row(name: str, make: Callable[[], Reads], asked: Sequence[Question]) -> str:
    """Train one candidate and measure it; a line of the table."""
    begun = time.process_time()
    answer = make()
    trained = time.process_time() - begun
    begun = time.process_time()
    answers = [answer(q.text) for q in asked]
    each = (time.process_time() - begun) / len(asked) * 1000
    right = [a in ACT_OF_KIND.get(q.kind, {q.kind}) for q, (a, _) in zip(asked, answers)]
    policy = [(q, m) for q, (_, m) in zip(asked, answers) if q.kind in ("policy", "policy_facet")]
    exact = [frozenset(m) in q.measures for q, m in policy]
    none = [not any(m & some for some in q.measures) for q, m in policy]
    false = [bool(m) for q, (_, m) in zip(asked, answers) if q.kind == "oos"]
    share = "{:.1%}".format
    return (
        f"| {name} | {share(np.mean(right))} | {share(np.mean(exact))} | {share(np.mean(none))} | "
        f"{share(np.mean(false))} | {trained:.0f} | {each:.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="examples to learn from (all)")
    # spaCy needs a minute an epoch on all.
    parser.add_argument("--textcat-examples", type=int, default=5000)
    parser.add_argument("--textcat-epochs", type=int, default=10)
    chosen = parser.parse_args()
    jieba.setLogLevel("WARNING")
    jieba.load_userdict(str(ROOT / "nlu_data/jieba/dictionary.txt"))
    data, asked = examples(), questions(ROOT / "tests/eval/dev_messages.tsv")
    data = choose(data, chosen.sample) if chosen.sample else data
    print(f"{len(data)} examples, {len(asked)} held-out messages, load {os.getloadavg()[0]:.1f}\n")
    print("| candidate | act | measures exact | none right | oos answered | training s | ms a message |")
    print("|---|---|---|---|---|---|---|")
    print(row("linear, characters", lambda: linear(data, (1.0, 0.0, 0.0)), asked), flush=True)
    print(row("linear, characters + words", lambda: linear(data, (1.0, 0.7, 0.0)), asked), flush=True)
    print(
        row("linear, characters + words + syllables", lambda: linear(data, (1.0, 0.7, 0.7)), asked),
        flush=True,
    )
    print(row("retrieval, nearest example", lambda: retrieval(data), asked), flush=True)
    some = choose(data, chosen.textcat_examples)
    name = f"spaCy textcat, bag of words to 3-grams, {len(some)} examples, {chosen.textcat_epochs} epochs"
    print(row(name, lambda: textcat(some, chosen.textcat_epochs), asked), flush=True)
    print(row("linear + retrieval, calibrated", lambda: ours(data, gate=False), asked), flush=True)
    print(row("**the same with the gate**", lambda: ours(data, gate=True), asked), flush=True)


if __name__ == "__main__":
    main()
