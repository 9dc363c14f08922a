"""`make bench`: this assistant beside the stock Rasa pipeline, in one run, on the same data and machine.

`python -m tests.bench.compare --help` lists the options; docs/bench/README.md says what each row means.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bot.evaluation.samples import EvaluationError
from bot.processes import ENGINE_BIN, SetupError
from bot.settings import ROOT
from tests.bench import machine
from tests.bench.findings import report, rows
from tests.bench.measuring import HOME, run
from tests.bench.plan import BenchError, Plan
from tests.bench.plan import quick as quick_plan
from tests.bench.plan import sampled as sampled_plan
from tests.bench.plan import short as short_plan
from tests.bench.report import Row, cells, document, head

DOCS = ROOT / "docs" / "bench"

Quick = Annotated[
    bool, typer.Option("--quick", help="few repetitions, a stock model of 5 epochs: a smoke test")
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1, help="epochs of DIET, without --sample also fewer repetitions; default 100, with --quick 5"
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(min=1000, help="both learn from this many of the examples; DIET and TED 100 epochs each"),
]
SkipStock = Annotated[bool, typer.Option("--skip-stock", help="ours alone")]
Retrain = Annotated[bool, typer.Option("--retrain", help="train the stock model even if there is one")]
Record = Annotated[
    bool,
    typer.Option("--record", help="write docs/bench/latest.md and .json, with --sample sample.md and .json"),
]


def _print(table: list[Row], whole: dict[str, Any]) -> None:
    console = Console(width=None if Console().is_terminal else 130)
    shown = Table(*head(whole["learned"]))
    for row in table:
        shown.add_row(*cells(row))
    console.print(shown)
    for note in whole["notes"]:
        console.print(f"- {note}", markup=False, highlight=False)
    missed = [f"{row.label} ({what})" for row in table for what, holds in row.demands if not holds]
    console.print(f"missed: {'; '.join(missed) or 'nothing'}", markup=False, highlight=False)


def _write(table: list[Row], whole: dict[str, Any], record: str) -> None:
    """Leave the report in var/bench/, and under the name `record` in docs/bench/ unless it is empty."""
    for folder, name in [(HOME, "last"), *([(DOCS, record)] if record else [])]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", "utf-8")
        (folder / f"{name}.md").write_text(document(whole, table, name), "utf-8")
        drawing = [str(ENGINE_BIN / "python"), "-m", "tests.bench.plots", str(folder / f"{name}.json")]
        subprocess.run(drawing, cwd=ROOT, check=True)


def main(
    quick: Quick = False,
    epochs: Epochs = None,
    sample: Sample = None,
    skip_stock: SkipStock = False,
    retrain: Retrain = False,
    record: Record = False,
) -> None:
    """Measure this assistant beside the stock Rasa pipeline."""
    if record and (quick or skip_stock):
        raise typer.BadParameter(
            "--record is for runs with both bots and repetitions: not --quick, --skip-stock."
        )
    # Ended from outside, it must still end what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # DIET needs minutes an epoch on all examples: a run with fewer epochs also repeats less, and says so.
    if quick:
        plan = replace(quick_plan(epochs or 5), sample=sample or 0)
    elif sample:
        plan = sampled_plan(sample, epochs or 100)
    else:
        plan = short_plan(epochs) if epochs else Plan()
    host = machine.describe()
    try:
        found = run(plan, with_stock=not skip_stock, again=retrain)
    except (BenchError, EvaluationError, SetupError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    table = rows(found, plan)
    whole = report(found, plan, host, table)
    _print(table, whole)
    _write(table, whole, ("sample" if sample else "latest") if record else "")


if __name__ == "__main__":
    typer.run(main)
