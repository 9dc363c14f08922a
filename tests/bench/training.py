"""Trains both, from nothing, and times it: `hotline train` for ours, `rasa train` for the stock pipeline."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bot.processes import ENGINE_BIN, QUIET, model_path
from bot.settings import ROOT, settings
from tests.bench import children
from tests.bench.plan import BenchError

HOME = ROOT / "var" / "bench"
ALL = ROOT / "nlu_data"
# The stock pipeline runs as it comes: TensorFlow with its own number of threads. Ours needs only one.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Trained:
    """A model and what it took: wall seconds of the whole command, when (ISO 8601), load before."""

    model: Path
    seconds: float
    at: str
    load: float
    epochs: int = 0  # of DIET
    ted_epochs: int = 0
    examples: int = 0
    earlier: bool = False  # trained by an earlier run, and taken from there


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def stock_environment(folder: Path) -> dict[str, str]:
    """Environment of the stock processes: quiet, offline, temporary files of their own."""
    scratch = folder.parent / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    quiet = {name: value for name, value in QUIET.items() if name not in THREADS}
    inherited = {name: value for name, value in os.environ.items() if name not in THREADS}
    return inherited | quiet | {"TMPDIR": str(scratch)}


def write_sample(count: int) -> tuple[Path, int]:
    """The folder of a sample of the examples, and how many they are."""
    folder = HOME / "sample"
    shutil.rmtree(folder, ignore_errors=True)
    return folder, _number("tests.bench.sample", str(folder), str(count))


def count_examples(data: Path) -> int:
    """How many different examples a folder has."""
    return _number("tests.bench.stock_project", str(data))


def _number(module: str, *arguments: str) -> int:
    """What a script of ours prints, run in the engine's environment."""
    done = subprocess.run(
        [str(ENGINE_BIN / "python"), "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{module} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout)


def train_ours(home: Path, data: Path, examples: int) -> Trained:
    """Train our model once more, without Rasa's cache of an earlier training."""
    home.mkdir(parents=True, exist_ok=True)
    cache = home / "rasa-cache"
    shutil.rmtree(cache, ignore_errors=True)
    environment = os.environ | {
        "HOTLINE_HOME": str(home),
        "HOTLINE_MODEL": str(home / "models"),
        "RASA_CACHE_DIRECTORY": str(cache),
    }
    command = [sys.executable, "-m", "bot.cli", "train", "--force"]
    if data != ALL:
        # `hotline train` knows only all examples; this is what it runs.
        environment |= QUIET | {"TMPDIR": str(home)}
        name = f"sample-{model_path(settings()).name.removesuffix('.tar.gz')}"
        command = [
            str(ENGINE_BIN / "rasa"), "train", "--skip-validation", "--data", str(data),
            "--out", str(home / "models"), "--fixed-model-name", name,
        ]  # fmt: skip
    load, at = os.getloadavg()[0], _now()
    begun, clock = time.time(), time.perf_counter()
    children.finish(command, ROOT, environment, home / "bench-train.log")
    seconds = time.perf_counter() - clock
    models = [path for path in (home / "models").glob("*.tar.gz") if path.stat().st_mtime >= begun]
    if len(models) != 1:
        raise BenchError(f"Training left {len(models)} new models in {home / 'models'} instead of one.")
    return Trained(models[0], seconds, at, load, examples=examples)


def _digest(folder: Path) -> str:
    """The key of a stock project: everything its model depends on."""
    digest = hashlib.sha256((ROOT / "uv.lock").read_bytes())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def write_stock(epochs: int, ted_epochs: int, data: Path) -> tuple[Path, int]:
    """The folder of the stock project that belongs to the data as they are, and its number of examples."""
    home = HOME / "stock"
    home.mkdir(parents=True, exist_ok=True)
    fresh = home / f"new-{os.getpid()}"
    examples = _number("tests.bench.stock_project", str(fresh), str(epochs), str(ted_epochs), str(data))
    folder = home / _digest(fresh)
    if folder.exists():
        shutil.rmtree(fresh)
    else:
        fresh.rename(folder)
    return folder, examples


def train_stock(epochs: int, ted_epochs: int, data: Path, *, again: bool = False) -> Trained:
    """The stock model; trained only if there is none for these data and epochs, or `again`."""
    folder, examples = write_stock(epochs, ted_epochs, data)
    record, model = folder / "training.json", folder / "models" / "stock.tar.gz"
    if record.exists() and model.exists() and not again:
        known = json.loads(record.read_text("utf-8"))
        return Trained(**known | {"model": model, "earlier": True})
    environment = stock_environment(folder) | {"RASA_CACHE_DIRECTORY": str(folder / "rasa-cache")}
    shutil.rmtree(folder / "rasa-cache", ignore_errors=True)
    load, at = os.getloadavg()[0], _now()
    command = [
        str(ENGINE_BIN / "rasa"), "train", "--skip-validation", "--out", "models", "--fixed-model-name", "stock",
    ]  # fmt: skip
    clock = time.perf_counter()
    children.finish(command, folder, environment, folder / "train.log")
    seconds = time.perf_counter() - clock
    shutil.rmtree(folder / "rasa-cache", ignore_errors=True)
    trained = Trained(model, seconds, at, load, epochs, ted_epochs, examples)
    record.write_text(json.dumps(asdict(trained) | {"model": str(model)}, indent=1), "utf-8")
    return trained
