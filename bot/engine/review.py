"""Which training examples look wrongly labelled? A tool for whoever edits `nlu_data/`.

    .venv-engine/bin/python -m bot.engine.review [--measure N] [--most 10]

Every example is read by a `Reader` that did not see it (five folds), and the examples on which reading and
label differ most are printed with their file: for each measure, act and facet, and for `specified`. A
surprise is a question to a person, not an error: a rare but right sentence surprises as well. The lines at
the top say how often reading and label agree. Two to three minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jieba
from sklearn.model_selection import KFold

from bot.engine.examples import FACETS, Example, distinct, read
from bot.engine.gate import Scores
from bot.engine.models import MEASURES
from bot.engine.reader import FOLDS, Reader, act_label
from bot.engine.text import normalise

FOLDER = Path(__file__).resolve().parents[2] / "nlu_data"


@dataclass(frozen=True)
class Held:
    """An example and what models that did not see it say about it."""

    example: Example
    scores: Scores
    given: float  # of a policy question: that the notice says it, for the labelled facet and measures

    @property
    def act(self) -> str:
        """The act as it is learned."""
        return act_label(self.example)

    @property
    def found(self) -> frozenset[int]:
        """The measures read at 0.5 or more."""
        return frozenset(n for n, p in self.scores.measures.items() if p >= 0.5)


Surprise = tuple[float, Held, str]  # how far reading and label are apart, of what, and the reading in words


def cut(folder: Path) -> Callable[[str], list[str]]:
    """Jieba with the dictionaries of `folder`, as the engine's tokenizer cuts."""
    tokenizer = jieba.Tokenizer()
    for path in sorted((folder / "jieba").glob("*.txt")):
        tokenizer.load_userdict(str(path))
    return tokenizer.lcut


def held_out(examples: Sequence[Example], tokens: Sequence[Sequence[str]]) -> list[Held]:
    """Each example read by a reader that was trained on the other folds."""
    found: list[Held] = []
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(examples):
        reader = Reader().fit([examples[i] for i in seen], [tokens[i] for i in seen])
        for i in unseen:
            example = examples[i]
            scores, _ = reader.read(reader.rows([example.text], [tokens[i]]))
            given = scores.given(example.facet, example.measures) if example.act == "policy" else 1.0
            found.append(Held(example, scores, given))
    return found


def asked(held: Iterable[Held]) -> list[Held]:
    """Those with a facet to learn."""
    return [h for h in held if h.example.act in ("policy", "followup") and not h.example.ambiguous]


def policy(held: Iterable[Held]) -> list[Held]:
    """The clear policy questions."""
    return [h for h in held if h.act == "policy"]


def agreement(held: Sequence[Held]) -> list[str]:
    """One line a label: how often reading and label agree."""

    def share(name: str, right: Sequence[bool]) -> str:
        return f"{name:<34}{sum(right) / max(len(right), 1):7.1%} of {len(right)}"

    clear = policy(held)
    return [
        share("act", [h.scores.act == h.act for h in held]),
        share("measures of policy questions", [h.found == set(h.example.measures) for h in clear]),
        share("no measure where none is labelled", [not h.found for h in held if not h.example.measures]),
        share("facet", [h.scores.facet == h.example.facet for h in asked(held)]),
        share("specified", [(h.given >= 0.5) == h.example.given for h in clear]),
    ]


def of_measure(held: Iterable[Held], number: int) -> tuple[list[Surprise], list[Surprise]]:
    """Labelled `number` but read as unlikely, and not labelled but read as likely."""
    missed, extra = [], []
    for h in held:
        if h.example.ambiguous:
            continue
        p = h.scores.measures[number]
        best = max(h.scores.measures, key=lambda n: h.scores.measures[n])
        words = f"{h.act} {list(h.example.measures)}, read {h.scores.act} [{best}]"
        if number in h.example.measures:
            missed.append((1 - p, h, words))
        else:
            extra.append((p, h, words))
    return missed, extra


def of_act(held: Iterable[Held], act: str) -> list[Surprise]:
    """Examples of `act`, the least likely first when sorted."""
    return [(1 - h.scores.acts[act], h, f"read {h.scores.act}") for h in held if h.act == act]


def of_facet(held: Iterable[Held], facet: str) -> list[Surprise]:
    """Examples of `facet`, the least likely first when sorted."""
    return [
        (1 - h.scores.facets[facet], h, f"{list(h.example.measures)}, read {h.scores.facet}")
        for h in asked(held)
        if h.example.facet == facet
    ]


def of_given(held: Iterable[Held], given: bool) -> list[Surprise]:
    """Policy questions with `specified` as given, the least likely first when sorted."""
    return [
        (1 - h.given if given else h.given, h, f"{list(h.example.measures)} {h.example.facet}")
        for h in policy(held)
        if h.example.given is given
    ]


def show(title: str, surprises: Iterable[Surprise], most: int) -> None:
    """Print the `most` surprising ones that the reading contradicts."""
    chosen = sorted((s for s in surprises if s[0] >= 0.5), key=lambda s: -s[0])[:most]
    print(f"\n== {title}")
    for apart, h, words in chosen:
        print(f"{apart:.2f}  {h.example.text}\n      {h.example.source}: {words}")


def main() -> None:
    """Read the arguments, review, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--measure", type=int, choices=MEASURES, metavar="N", help="only this measure, 1 to 16"
    )
    parser.add_argument("--most", type=int, default=10, metavar="COUNT", help="examples in each list (10)")
    args = parser.parse_args()
    examples = distinct(replace(e, text=normalise(e.text) or "?") for e in read(FOLDER))
    tokenize = cut(FOLDER)
    held = held_out(examples, [tokenize(e.text) for e in examples])
    print("\n".join(agreement(held)))
    for number in (args.measure,) if args.measure else MEASURES:
        missed, extra = of_measure(held, number)
        show(f"measure {number}: labelled, but read as unlikely", missed, args.most)
        show(f"measure {number}: not labelled, but read as likely", extra, args.most)
    if args.measure:
        held = [h for h in held if args.measure in h.example.measures]
    else:
        for act in sorted({h.act for h in held}):
            show(f"act {act}: labelled, but read as unlikely", of_act(held, act), args.most)
    for facet in FACETS:
        show(f"facet {facet}: labelled, but read as unlikely", of_facet(held, facet), args.most)
    for given, words in ((True, "said by the notice"), (False, "left open by the notice")):
        show(f"specified: labelled as {words}, but read otherwise", of_given(held, given), args.most)


if __name__ == "__main__":
    main()
