"""Our graph runner gives what Rasa's own gives, and refuses what that refuses."""

from __future__ import annotations

import pytest
from rasa.engine.exceptions import GraphComponentException, GraphRunError
from rasa.engine.graph import ExecutionContext, GraphComponent, GraphSchema, SchemaNode
from rasa.engine.runner.dask import DaskGraphRunner
from rasa.engine.storage.local_model_storage import LocalModelStorage
from rasa.engine.storage.resource import Resource

from bot.engine.runner import PlannedGraphRunner


class Adds(GraphComponent):
    """Adds up what it is given."""

    @classmethod
    def create(cls, config, model_storage, resource, execution_context):
        """A component without state."""
        return cls()

    def run(self, one: int, two: int = 0) -> int:
        """The sum."""
        return one + two


def node(needs: dict[str, str], target: bool = False) -> SchemaNode:
    return SchemaNode(
        needs=needs, uses=Adds, fn="run", constructor_name="create", config={}, eager=True, is_target=target,
        resource=Resource("none"),
    )  # fmt: skip


SCHEMA = GraphSchema(
    {
        "sum": node({"one": "double", "two": "number"}, target=True),
        "double": node({"one": "number", "two": "number"}),
        "other": node({"one": "unknown"}),
    }
)


@pytest.fixture(params=[DaskGraphRunner, PlannedGraphRunner])
def runner(request, tmp_path):
    storage = LocalModelStorage.create(tmp_path)
    return request.param.create(SCHEMA, storage, ExecutionContext(SCHEMA, "test"))


def test_targets_and_what_they_need_are_run(runner) -> None:
    for number in (2, 5):
        assert runner.run({"number": number}) == {"sum": 3 * number}
    assert runner.run({"number": 4}, targets=["double"]) == {"double": 8}


def test_a_missing_input_is_an_error(runner) -> None:
    with pytest.raises(GraphRunError, match="Missing input"):
        runner.run({"number": 1}, targets=["other"])


def test_an_error_of_a_node_names_the_node(runner) -> None:
    with pytest.raises(GraphComponentException, match="double"):
        runner.run({"number": object()})


def test_an_input_may_not_be_called_like_a_node(tmp_path) -> None:
    storage = LocalModelStorage.create(tmp_path)
    runner = PlannedGraphRunner.create(SCHEMA, storage, ExecutionContext(SCHEMA, "test"))
    with pytest.raises(GraphRunError, match="double"):
        runner.run({"number": 1, "double": 2})


def test_the_engine_runs_by_it(monkeypatch) -> None:
    from rasa.core import processor

    from bot.engine import runner

    monkeypatch.setattr(processor, "DaskGraphRunner", DaskGraphRunner)
    runner.install()
    assert processor.DaskGraphRunner is PlannedGraphRunner
