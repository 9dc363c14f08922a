"""The Rasa graph components. Each is a thin wrapper; what they do is in the module of the same idea.

Order in `config.yml`: Normalizer → JiebaTokenizer (Rasa's) → Reading → Entities. `Reading` holds all linear
models behind one training, because they share their features; its result stands in the parse data under
`reading` beside Rasa's own `intent` and `intent_ranking`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.shared.nlu.constants import ENTITIES, INTENT, METADATA_INTENT, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from bot.engine import entities
from bot.engine.cuts import Cuts
from bot.engine.examples import Example, distinct, from_marks, read
from bot.engine.gate import Context, Gate, Scores
from bot.engine.gate import Reading as Decision
from bot.engine.reader import Reader
from bot.engine.text import normalise

NLU_DATA = Path(__file__).resolve().parents[2] / "nlu_data"
TOKENS = "text_tokens"
RAW = "raw_text"


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_FEATURIZER, is_trainable=False)
class Normalizer(GraphComponent):
    """Puts the normal form in the place of the text, before the tokenizer; the raw text stays beside it."""

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> Normalizer:
        """A component without state."""
        return cls()

    def process(self, messages: list[Message]) -> list[Message]:
        """Normalise messages that have text."""
        for message in messages:
            if raw := message.get(TEXT):
                message.set(RAW, raw)
                # Rasa's tokenizer must get something to cut.
                message.set(TEXT, normalise(raw) or "?")
        return messages

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Normalise the examples."""
        self.process(training_data.training_examples)
        return training_data


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _marks(message: Message) -> dict[str, Any]:
    return (message.get("metadata") or {}).get(METADATA_INTENT) or {}


def _marks_are_lost(messages: Iterable[Message]) -> bool:
    """Whether all policy questions have the same marks.

    `rasa test nlu --cross-validation` writes each fold into a file with one block an intent, and so gives every
    example of an intent the marks of its first one.
    """
    found = [_marks(message) for message in messages if message.get(INTENT) == "policy"]
    return len(found) > 1 and all(marks == found[0] for marks in found)


def _of_our_files() -> dict[str, Example]:
    """The examples of `nlu_data/` by their normal form."""
    texts = [(normalise(example.text) or "?", example) for example in reversed(list(read(NLU_DATA)))]
    return {text: dataclasses.replace(example, text=text) for text, example in texts}


def _tokens(message: Message) -> list[str]:
    return [token.text for token in message.get(TOKENS) or ()]


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class ReadingClassifier(GraphComponent):
    """Acts, measures, facets and the gate: sets `intent`, `intent_ranking` and `reading`."""

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        """Nothing to set; thresholds live in `gate.Thresholds`.

        Rasa reuses a trained component while its own class and configuration are the same; the hash makes it
        notice a change of the models behind it.
        """
        return {"sources": _sources()}

    def __init__(self, storage: ModelStorage, resource: Resource, reader: Reader | None = None) -> None:
        self._storage = storage
        self._resource = resource
        self.reader = reader
        self.gate = Gate()

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> ReadingClassifier:
        """An untrained component."""
        return cls(model_storage, resource)

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,
    ) -> ReadingClassifier:
        """The trained component; the file comes from our own training."""
        with model_storage.read_from(resource) as folder:
            return cls(model_storage, resource, joblib.load(Path(folder) / "reader.joblib"))

    def train(self, training_data: TrainingData) -> Resource:
        """Learn from all intent examples and their metadata."""
        pairs: dict[str, tuple[Example, list[str]]] = {}
        known = _of_our_files() if _marks_are_lost(training_data.intent_examples) else {}
        for message in training_data.intent_examples:
            text = message.get(TEXT)
            example = known.get(text) or from_marks(text, message.get(INTENT), _marks(message))
            pairs.setdefault(example.text, (example, _tokens(message)))
        examples = [example for example, _ in pairs.values()]
        self.reader = Reader().fit(distinct(examples), [tokens for _, tokens in pairs.values()])
        with self._storage.write_to(self._resource) as folder:
            joblib.dump(self.reader, Path(folder) / "reader.joblib", compress=1)
        return self._resource

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Nothing downstream learns from readings."""
        return training_data

    def process(self, messages: list[Message]) -> list[Message]:
        """Decide each message."""
        for message in messages:
            self._decide(message)
        return messages

    def _decide(self, message: Message) -> None:
        reader = self.reader
        if reader is None or not message.get(TEXT):
            return
        text = message.get(TEXT)
        scores, margins = reader.understand(text, Cuts(text, _tokens(message)))
        metadata = message.get("metadata")
        context = Context.read(metadata.get("context") if isinstance(metadata, dict) else None)
        decision = self.gate.decide("" if text == "?" and message.get(RAW) != "?" else text, scores, context)
        if not decision.topic or decision.intent in ("notice", "chitchat", "emergency"):
            decision = dataclasses.replace(
                decision, topic=decision.topic or reader.topic(margins, decision.intent)
            )
        if decision.topic == "correct":
            decision.extra["field"] = reader.topic(margins, "correct")
        ranking = [{"name": name, "confidence": p} for name, p in list(scores.acts.items())[:10]]
        message.set(
            "intent", {"name": decision.intent, "confidence": decision.confidence}, add_to_output=True
        )
        message.set("intent_ranking", ranking, add_to_output=True)
        message.set("reading", _as_json(text, decision, scores), add_to_output=True)


def _as_json(text: str, decision: Decision, scores: Scores) -> dict[str, Any]:
    """The reading as the service gets it."""
    best = scores.best()[:5]
    return {
        "text": text,
        "intent": decision.intent,
        "confidence": round(decision.confidence, 4),
        "reason": decision.reason,
        "measures": list(decision.measures),
        "facet": decision.facet,
        "specified": decision.specified,
        "options": list(decision.options),
        "topic": decision.topic,
        "extra": decision.extra,
        "acts": {name: round(p, 4) for name, p in list(scores.acts.items())[:5]},
        "scores": {str(n): round(p, 4) for n, p in best},
        "facets": {name: round(p, 4) for name, p in list(scores.facets.items())[:3]},
        "near": round(scores.near, 4),
    }


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.ENTITY_EXTRACTOR, is_trainable=False)
class SpacyEntities(GraphComponent):
    """Phone, name, company, address, amount, date, unified social credit code: blank spaCy `zh` and rules."""

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> SpacyEntities:
        """Builds the pipeline, and so loads jieba's dictionary before the first message."""
        entities.extract("热身")
        return cls()

    def process(self, messages: list[Message]) -> list[Message]:
        """Add the entities of the raw text."""
        for message in messages:
            if raw := message.get(RAW):
                cut = Cuts(message.get(TEXT), _tokens(message))
                message.set(ENTITIES, entities.extract(raw, cut), add_to_output=True)
        return messages
