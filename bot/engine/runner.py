"""Runs Rasa's graph node by node.

Rasa hands its graph to Dask, which plans it anew for every message: three times a turn, for more than most of our nodes
take. The order never changes, so it is planned once for each set of targets.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

from rasa.engine.exceptions import GraphRunError
from rasa.engine.graph import GraphNode
from rasa.engine.runner.dask import DaskGraphRunner

Step = tuple[str, GraphNode, tuple[str, ...]]  # the node's name, the node, what it needs


class PlannedGraphRunner(DaskGraphRunner):
    """Same nodes, same results, same errors as the class it comes from."""

    def _plan(self, targets: tuple[str, ...]) -> list[Step]:
        plans: dict[tuple[str, ...], list[Step]] = self.__dict__.setdefault("_plans", {})
        if targets not in plans:
            nodes = self._graph_schema.minimal_graph_schema(list(targets)).nodes
            needs = {name: tuple(node.needs.values()) for name, node in nodes.items()}
            order = TopologicalSorter(needs).static_order()
            plans[targets] = [
                (name, self._instantiated_nodes[name], needs[name]) for name in order if name in nodes
            ]
        return plans[targets]

    def run(self, inputs: dict[str, Any] | None = None, targets: list[str] | None = None) -> dict[str, Any]:
        """Outputs of the targets by their names. Raises `GraphRunError` as Rasa's own runner does."""
        wanted = tuple(targets or self._graph_schema.target_names)
        plan = self._plan(wanted)
        outputs: dict[str, Any] = dict(inputs or {})
        if taken := [name for name, _, _ in plan if name in outputs]:
            raise GraphRunError(f"Inputs have the names of nodes: {taken}.")
        try:
            for name, node, needs in plan:
                # A node takes what it needs as (name, value), and the bare name where there is no value.
                given = [(need, outputs[need]) if need in outputs else need for need in needs]
                name, outputs[name] = node(*given)
        except RuntimeError as error:
            raise GraphRunError("Error running runner.") from error
        return {name: outputs[name] for name in wanted}


def install() -> None:
    """Let Rasa's message processor use it; training keeps Rasa's own."""
    from rasa.core import processor

    processor.DaskGraphRunner = PlannedGraphRunner
