"""Writes the stock Rasa project: the same examples, the pipeline that Rasa's own documentation starts with.

Runs in the engine's environment: `.venv-engine/bin/python -m tests.bench.stock_project FOLDER EPOCHS TED_EPOCHS DATA`; with `DATA` alone it counts the
examples.
The stock pipeline is single-label, so each policy question goes to the intent of its first measure
(`policy_01` … `policy_16`); every other act is an intent of its own. Every intent has one rule and one
ready-made response, so the stock bot needs no action server, which would cost it more on every turn.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from bot.engine.examples import Example, distinct, read

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "bot" / "policy" / "packs" / "jilin-2020-26" / "measures"
DICTIONARY = ROOT / "nlu_data" / "jieba"

FALLBACK = {"threshold": 0.3, "ambiguity_threshold": 0.1}  # what `rasa init` suggests
REPLIES = {
    "nlu_fallback": "没太明白您的意思，能换个说法吗？",
    "oos": "这件事不在本通知的范围里。",
    "handoff": "马上为您转人工。",
    "emergency": "有人身危险请立即拨打110、119或120。",
    "chitchat": "您好，我可以解答十六条措施，也可以登记投诉举报。",
}
OTHER_REPLY = "好的，请接着说。"


def intent(example: Example) -> str:
    """The stock intent of an example: its act, or its first measure for a policy question."""
    return f"policy_{example.measures[0]:02d}" if example.act == "policy" else example.act


def config(epochs: int, ted_epochs: int) -> dict[str, Any]:
    """`config.yml`: jieba, word and character n-grams, DIET, fallback; rules and TED."""
    return {
        "recipe": "default.v1",
        "assistant_id": "stock",
        "language": "zh",
        "pipeline": [
            {"name": "JiebaTokenizer", "dictionary_path": "jieba"},
            {"name": "CountVectorsFeaturizer"},
            {"name": "CountVectorsFeaturizer", "analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4},
            {"name": "DIETClassifier", "epochs": epochs, "constrain_similarities": True, "random_seed": 1},
            {"name": "FallbackClassifier", **FALLBACK},
        ],
        "policies": [
            {"name": "RulePolicy"},
            {
                "name": "TEDPolicy",
                "max_history": 5,
                "epochs": ted_epochs,
                "constrain_similarities": True,
                "random_seed": 1,
            },
        ],
    }


def responses() -> dict[str, str]:
    """Intent → what the stock bot says; a policy intent says its clause, word for word."""
    said: dict[str, str] = {}
    for path in sorted(PACK.glob("*.yml")):
        measure = yaml.safe_load(path.read_text("utf-8"))
        said[f"policy_{measure['number']:02d}"] = f"{measure['title']}：{measure['text']}"
    return said


def _nlu(examples: list[Example]) -> str:
    groups: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        groups[intent(example)].append(example.text)
    # By hand: a YAML writer would quote and fold what Rasa reads line by line.
    parts = ['version: "3.1"', "nlu:"]
    for name, texts in sorted(groups.items()):
        parts += [f"- intent: {name}", "  examples: |", *(f"    - {text}" for text in texts)]
    return "\n".join(parts) + "\n"


def _stories(intents: list[str]) -> list[dict[str, Any]]:
    """Short walks over two or three intents, for TED to learn from; none contradicts a rule."""
    policy = [name for name in intents if name.startswith("policy_")]
    other = [name for name in intents if not name.startswith("policy_")]
    walks = [[first, second] for first, second in zip(policy, policy[1:] + policy[:1], strict=True)]
    walks += [["chitchat", name, "handoff"] for name in policy]
    walks += [[name, policy[i % len(policy)]] for i, name in enumerate(other)]
    return [
        {
            "story": " then ".join(walk),
            "steps": [step for name in walk for step in ({"intent": name}, {"action": f"utter_{name}"})],
        }
        for walk in walks
    ]


def write(folder: Path, epochs: int, ted_epochs: int, data: Path) -> int:
    """Write the project for the examples in `data` into the new `folder`; returns the number of examples."""
    examples = distinct(read(data))
    intents = sorted({intent(example) for example in examples})
    said = REPLIES | responses()
    rules = [
        {"rule": name, "steps": [{"intent": name}, {"action": f"utter_{name}"}]}
        for name in [*intents, "nlu_fallback"]
    ]
    files: dict[str, dict[str, Any]] = {
        "config.yml": config(epochs, ted_epochs),
        "domain.yml": {
            "version": "3.1",
            "intents": intents,
            "responses": {
                f"utter_{name}": [{"text": said.get(name, OTHER_REPLY)}]
                for name in [*intents, "nlu_fallback"]
            },
            "session_config": {"session_expiration_time": 60, "carry_over_slots_to_new_session": True},
        },
        "data/rules.yml": {"version": "3.1", "rules": rules},
        "data/stories.yml": {"version": "3.1", "stories": _stories(intents)},
        "endpoints.yml": {"tracker_store": {"type": "SQL", "dialect": "sqlite", "db": "tracker.db"}},
        "credentials.yml": {"rest": None},
    }
    (folder / "data").mkdir(parents=True)
    for name, content in files.items():
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=1000)
        (folder / name).write_text(text, "utf-8")
    (folder / "data" / "nlu.yml").write_text(_nlu(examples), "utf-8")
    shutil.copytree(DICTIONARY, folder / "jieba")
    return len(examples)


if __name__ == "__main__":
    # The number of examples is what the caller reads.
    if len(sys.argv) == 2:
        print(len(distinct(read(Path(sys.argv[1])))))
    else:
        print(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
