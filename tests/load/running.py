"""`hotline up` or `hotline cluster` as its users start it, and what each of its processes uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bot.operations.cluster import free_port
from bot.settings import ROOT
from tests.bench import children
from tests.bench.plan import BenchError

PATIENCE = 300.0  # seconds to become ready
# What stands in a process' command line, and what it is called here; the first that fits counts.
NAMES = {
    "bot.channels.serve": "gateway",
    "bot.engine.serve": "engine",
    "bot.desk.serve": "desk",
    "bot.cli": "supervisor",
    "postgres": "postgres",
    "redis-server": "redis",
    "nginx": "nginx",
}


@dataclass
class Running:
    """A running hotline; figures are sums over the processes of one name."""

    form: str  # up or cluster
    url: str
    process: subprocess.Popen[bytes]

    def processes(self) -> dict[str, list[psutil.Process]]:
        """All processes by name."""
        found: dict[str, list[psutil.Process]] = {}
        for one in children.family(self.process):
            try:
                line = " ".join(one.cmdline())
            except psutil.Error:
                continue
            if name := next((name for words, name in NAMES.items() if words in line), ""):
                found.setdefault(name, []).append(one)
        return found

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each has used since its start."""
        return {
            name: sum(t.user + t.system for t in (one.cpu_times() for one in processes))
            for name, processes in self.processes().items()
        }

    def resident(self) -> dict[str, float]:
        """Megabytes that each holds; what forked processes share counts once where the kernel tells (PSS)."""
        return {
            name: sum(_held(one, shares=len(processes) > 1) for one in processes) / 2**20
            for name, processes in self.processes().items()
        }


def _held(process: psutil.Process, *, shares: bool) -> int:
    if not shares:
        return int(process.memory_info().rss)
    info = process.memory_full_info()
    return int(getattr(info, "pss", info.rss))


@contextmanager
def running(form: str, over: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start it with a fresh home on free ports and wait until it is ready. Raises `BenchError`."""
    home = Path(tempfile.mkdtemp(prefix="hotline-load-"))
    home.chmod(0o711)  # PostgreSQL's own user must get through.
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOTLINE_")}
    environment = inherited | {
        "HOTLINE_HOME": str(home),
        "HOTLINE_MODEL": os.environ.get("HOTLINE_MODEL", str(ROOT / "models")),
        "HOTLINE_PORT": str(port),
        "HOTLINE_ENGINE_PORT": str(free_port()),
        "HOTLINE_ACTIONS_PORT": str(free_port()),
        "HOTLINE_DESK_PORT": str(free_port()),
        "HOTLINE_RATE_LIMITS": "off",
        **(over or {}),
    }
    log = home / "hotline.log"
    process = children.start([sys.executable, "-m", "bot.cli", form], ROOT, environment, log)
    made = Running(form, f"http://127.0.0.1:{port}", process)
    try:
        _until_ready(made, log)
        yield made
    finally:
        children.end(process)
        shutil.rmtree(home, ignore_errors=True)


def _until_ready(made: Running, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and made.process.poll() is None:
        # The last line that it prints when everything answers; the cluster's door tells nobody more.
        if "Ctrl-C" in log.read_text("utf-8", "replace"):
            return
        time.sleep(0.2)
    raise BenchError(f"hotline {made.form} was not ready; the end of {log}:\n{children.tail(log)}")
