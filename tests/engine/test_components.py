"""The graph components, without Rasa's graph: a small training on some of our own examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jieba
import pytest
from rasa.engine.storage.resource import Resource
from rasa.nlu.tokenizers.tokenizer import Token
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from bot.engine.components import RAW, TOKENS, Normalizer, ReadingClassifier, SpacyEntities
from bot.engine.examples import read

ROOT = Path(__file__).parents[2]
A_MEASURE, AN_ACT = 14, 16


class Storage:
    """Rasa's model storage as a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def write_to(self, resource: Resource) -> Iterator[Path]:
        (self.folder / resource.name).mkdir()
        yield self.folder / resource.name

    @contextmanager
    def read_from(self, resource: Resource) -> Iterator[Path]:
        yield self.folder / resource.name


def message(text: str, **more: object) -> Message:
    """A message as it leaves Normalizer and tokenizer."""
    made = Message({"text": text, **more})
    Normalizer().process([made])
    made.set(TOKENS, [Token(word, 0) for word in jieba.lcut(made.get("text"))])
    return made


def training_data() -> TrainingData:
    counts: dict[object, int] = defaultdict(int)
    messages = []
    for example in read(ROOT / "nlu_data"):
        key = (example.act, example.measures[:1], example.ambiguous)
        counts[key] += 1
        if counts[key] > (A_MEASURE if example.act == "policy" else AN_ACT):
            continue
        marks = {
            "measures": list(example.measures), "facet": example.facet, "specified": example.given,
            "topic": example.topic, "ambiguous": example.ambiguous,
        }  # fmt: skip
        messages.append(message(example.text, intent=example.act, metadata={"intent": marks}))
    return TrainingData(messages)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ReadingClassifier:
    storage, resource = Storage(tmp_path_factory.mktemp("model")), Resource("reading")
    fresh = ReadingClassifier.create({}, storage, resource, None)
    assert fresh.train(training_data()) is resource
    return ReadingClassifier.load({}, storage, resource, None)


def reading(trained: ReadingClassifier, text: str, **context: object) -> dict:
    made = message(text, metadata={"context": context})
    trained.process([made])
    return made.get("reading")


def test_the_normalizer_keeps_the_raw_text_beside_the_normal_form() -> None:
    made = Message({"text": "電梯 維保"})
    Normalizer().process([made, Message({})])
    assert (made.get("text"), made.get(RAW)) == ("电梯维保", "電梯 維保")


def test_a_text_without_a_normal_form_leaves_something_to_cut() -> None:
    made = Message({"text": "😀"})
    Normalizer().process([made])
    assert made.get("text") == "?"


def test_training_data_is_normalised_as_messages_are() -> None:
    data = TrainingData([Message({"text": "電梯", "intent": "policy"})])
    assert Normalizer().process_training_data(data).training_examples[0].get("text") == "电梯"


def test_what_was_trained_can_be_loaded_and_reads(trained: ReadingClassifier) -> None:
    found = reading(trained, "电梯维保能延长吗")
    assert found["intent"] == "policy"
    assert found["measures"] == [9]
    assert found["text"] == "电梯维保能延长吗"
    assert set(found) >= {"facet", "specified", "options", "topic", "reason", "acts", "scores", "confidence"}
    assert all(0 <= p <= 1 for p in found["scores"].values())


def test_the_reading_is_rasas_intent_as_well(trained: ReadingClassifier) -> None:
    made = message("我要投诉")
    trained.process([made])
    assert made.get("intent")["name"] == made.get("reading")["intent"] == "complaint"
    ranking = [entry["confidence"] for entry in made.get("intent_ranking")]
    assert ranking == sorted(ranking, reverse=True)
    assert {"intent", "reading"} <= made.output_properties


def test_a_homophone_reads_the_same(trained: ReadingClassifier) -> None:
    assert reading(trained, "电替维保能延长吗")["measures"] == [9]


def test_the_context_of_the_turn_decides(trained: ReadingClassifier) -> None:
    assert reading(trained, "特种设备许可", picked=[4])["measures"] == [4]
    assert reading(trained, "百惠乐超市在二道那边", intake="T", asked="respondent")["intent"] == "inform"


@pytest.mark.parametrize("text", ["😀", "？", "\u200b", "。。。"])
def test_nothing_to_read_is_unclear(trained: ReadingClassifier, text: str) -> None:
    assert reading(trained, text)["intent"] == "unclear"


def test_a_message_without_text_is_left_alone(trained: ReadingClassifier) -> None:
    made = Message({})
    trained.process([made])
    assert made.get("reading") is None


def test_an_untrained_component_decides_nothing() -> None:
    made = message("你好")
    ReadingClassifier(Storage(Path(".")), Resource("none")).process([made])
    assert made.get("reading") is None


def test_a_wrong_mark_stops_the_training(tmp_path: Path) -> None:
    wrong = message("要交钱吗", intent="policy", metadata={"intent": {"measures": [17]}})
    with pytest.raises(ValueError, match="要交钱吗"):
        ReadingClassifier(Storage(tmp_path), Resource("reading")).train(TrainingData([wrong]))


def test_marks_that_rasas_cross_validation_loses_are_read_from_our_files(tmp_path: Path) -> None:
    data = training_data()
    given = ReadingClassifier(Storage(tmp_path), Resource("given"))
    given.train(data)
    first = next(m for m in data.training_examples if m.get("intent") == "policy").get("metadata")
    for some in data.training_examples:
        if some.get("intent") == "policy":
            some.set("metadata", first)
    lost = ReadingClassifier(Storage(tmp_path), Resource("lost"))
    lost.train(data)
    for text in ("电梯维保能延长吗", "专利质押贷款利率多少"):
        assert reading(lost, text)["scores"] == pytest.approx(reading(given, text)["scores"], abs=2e-3)


def test_changed_sources_are_noticed_by_rasas_cache() -> None:
    assert set(ReadingClassifier.get_default_config()) == {"sources"}
    assert ReadingClassifier.get_default_config() == ReadingClassifier.get_default_config()


def test_entities_come_from_the_raw_text() -> None:
    made = message("電話１３９０４３２１１８７")
    SpacyEntities.create({}, None, None, None).process([made, Message({})])
    [found] = made.get("entities")
    assert (found["entity"], found["value"]) == ("phone", "13904321187")
    assert made.get(RAW)[found["start"] : found["end"]] == "１３９０４３２１１８７"
