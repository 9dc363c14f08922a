"""`hotline eval`: reads files, asks an instance, prints, writes the page, checks the floors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import Progress

from bot.evaluation.asking import CONCURRENCY, TIMEOUT, Caller, Outcome, Sleep, ask_all
from bot.evaluation.floors import check_floors, raise_floors, read_floors
from bot.evaluation.metrics import Result
from bot.evaluation.page import page
from bot.evaluation.printing import document, print_result
from bot.evaluation.samples import EvaluationError, SampleFile, read
from bot.evaluation.scoring import score
from bot.settings import settings

__all__ = ["EvaluationError", "measure", "raise_floors", "run"]

LOW_FLOORS = 1  # exit code


def run(
    files: list[Path],
    *,
    url: str | None = None,
    as_json: bool = False,
    html: Path | None = None,
    floors: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> int:
    """Evaluate `files` on the instance at `url` (default: this machine's, `HOTLINE_PORT`).

    Returns the exit code. 0: measured, and every floor of `floors` holds; 1: a floor does not hold.
    Targets that are missed do not change it.
    Raises `EvaluationError` (its text is for people): a file or the floors cannot be read (`FormatError`), or
    no instance is ready (`InstanceNotReady`). `transport` stands in for the network in tests.
    """
    results = measure(files, url=url, floors=floors, transport=transport)
    broken = check_floors(results, floors) if floors else []
    when = datetime.now().astimezone()
    if html:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(results, broken, when), "utf-8")
    if as_json:
        text = json.dumps(document(results, broken, when), ensure_ascii=False, indent=1)
        # A lone surrogate in what the instance said has no UTF-8; as an escape it is the same JSON.
        print(text.encode("utf-8", "backslashreplace").decode())
    else:
        console = Console()
        for result in results:
            print_result(console, result)
    console = Console(stderr=True)
    for sentence in broken:
        console.print(sentence, style="red", markup=False, highlight=False)
    return LOW_FLOORS if broken else 0


def measure(
    files: Sequence[Path],
    *,
    url: str | None = None,
    floors: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    sleep: Sleep = asyncio.sleep,
) -> list[Result]:
    """The scored rows of each file; raises as `run`.

    Files and floors are read first: a slip in them must not cost a whole run.
    """
    samples = [read(path) for path in files]
    if floors:
        read_floors(floors)
    base = url or f"http://127.0.0.1:{settings().port}"
    outcomes = asyncio.run(_ask(samples, base, transport, sleep))
    results = []
    for sample in samples:
        answered = [outcomes.pop(0) for _ in sample.threads]
        rows = (
            score(sample.type, question, outcome)
            for thread, given in zip(sample.threads, answered, strict=True)
            for question, outcome in zip(thread, given, strict=True)
        )
        results.append(Result(sample, tuple(rows)))
    return results


async def _ask(
    samples: Sequence[SampleFile], base: str, transport: httpx.AsyncBaseTransport | None, sleep: Sleep
) -> list[list[Outcome]]:
    threads = [[question.text for question in thread] for sample in samples for thread in sample.threads]
    limits = httpx.Limits(max_connections=CONCURRENCY)
    async with httpx.AsyncClient(
        base_url=base, transport=transport, trust_env=False, timeout=TIMEOUT, limits=limits
    ) as client:
        caller = Caller(client, sleep)
        await caller.check_ready()
        progress = Console(stderr=True)
        with Progress(console=progress, transient=True, disable=not progress.is_terminal) as bar:
            task = bar.add_task("提问", total=len(threads))
            outcomes = await ask_all(threads, caller, lambda: bar.advance(task))
        if caller.waited:
            waited = f"Waited {caller.waited:.0f} s on rate limits (HOTLINE_RATE_LIMITS=off turns them off)."
            progress.print(waited, highlight=False)
    return outcomes
