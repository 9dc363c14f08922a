"""The two bots as running processes: started on free ports of this machine, measured, ended by their ids."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bot.processes import ENGINE_BIN, QUIET
from bot.settings import ROOT
from tests.bench import children
from tests.bench.plan import BenchError
from tests.bench.training import stock_environment

PATIENCE = 300.0  # seconds to become ready


@dataclass(frozen=True)
class Memory:
    """Megabytes of all processes together; `shared_once` is the proportional set size where there is one."""

    resident: float
    shared_once: float | None

    @property
    def value(self) -> float:
        """The figure to compare: PSS where available, else RSS."""
        return self.resident if self.shared_once is None else self.shared_once


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Instance:
    """A bot started as its users start it; subclasses say how."""

    name = ""

    def __init__(self, model: Path, home: Path) -> None:
        self.model = model
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> tuple[list[str], Path, dict[str, str]]:
        """Command, working folder, environment."""
        raise NotImplementedError

    ready_path = ""

    def start(self) -> float:
        """Start it; returns the seconds until it says that it is ready."""
        command, folder, environment = self._command()
        log = self.home / f"bench-{self.name}.log"
        begun = time.perf_counter()
        self.process = children.start(command, folder, environment, log)
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5.0) as client:
            while time.perf_counter() - begun < PATIENCE and self.process.poll() is None:
                try:
                    if client.get(self.ready_path).status_code == 200:
                        return time.perf_counter() - begun
                except httpx.HTTPError:
                    pass
                time.sleep(0.1)
        self.stop()
        raise BenchError(f"{self.name} was not ready; the end of {log}:\n{children.tail(log)}")

    def processes(self) -> list[psutil.Process]:
        """The process that was started and all that it started; empty when it does not run."""
        return children.family(self.process)

    def cpu(self) -> float:
        """Processor seconds that all processes have used so far: a figure that other load hardly moves."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(one.user + one.system for one in times)

    def memory(self) -> Memory:
        """What all processes hold now."""
        infos = [process.memory_full_info() for process in self.processes()]
        resident = sum(info.rss for info in infos) / 2**20
        if not all(hasattr(info, "pss") for info in infos):
            return Memory(resident, None)
        return Memory(resident, sum(info.pss for info in infos) / 2**20)

    def engine(self) -> float:
        """Megabytes resident of the process that understands."""
        sizes = [process.memory_info().rss for process in self.processes() if self._understands(process)]
        if len(sizes) != 1:
            raise BenchError(f"{self.name} has {len(sizes)} processes that understand instead of one.")
        return float(sizes[0] / 2**20)

    def _understands(self, process: psutil.Process) -> bool:
        """Whether a process is the one that understands."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        children.end(self.process)
        self.process = None


class Ours(Instance):
    """`hotline up` with a fresh database and no rate limits."""

    name = "ours"
    ready_path = "/readyz"

    def __init__(self, model: Path, home: Path) -> None:
        super().__init__(model, home)
        self.engine_port, self.actions_port = free_port(), free_port()

    def _command(self) -> tuple[list[str], Path, dict[str, str]]:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOTLINE_")}
        environment = inherited | {
            "HOTLINE_HOME": str(self.home),
            "HOTLINE_MODEL": str(self.model),
            "HOTLINE_PORT": str(self.port),
            "HOTLINE_ENGINE_PORT": str(self.engine_port),
            "HOTLINE_ACTIONS_PORT": str(self.actions_port),
            "HOTLINE_RATE_LIMITS": "off",
            "HOTLINE_DESK": "off",
        }
        return [sys.executable, "-m", "bot.cli", "up"], ROOT, environment

    def _understands(self, process: psutil.Process) -> bool:
        return "bot.engine.serve" in process.cmdline()

    @property
    def engine_url(self) -> str:
        """Where the engine alone answers."""
        return f"http://127.0.0.1:{self.engine_port}"

    def engine_token(self) -> str:
        """The token that `hotline up` made for this run: its children are told by their environment."""
        for process in self.processes()[1:]:
            if token := process.environ().get("HOTLINE_ENGINE_TOKEN"):
                return token
        raise BenchError("The engine's token was not found; does `hotline up` still start the engine?")


class OurReading(Instance):
    """Our engine alone, with Rasa's own HTTP API: `POST /model/parse`, as the stock bot has it."""

    name = "ours"
    ready_path = "/status"

    def _command(self) -> tuple[list[str], Path, dict[str, str]]:
        self.home.mkdir(parents=True, exist_ok=True)
        environment = os.environ | QUIET | {
            "TMPDIR": str(self.home),
            # Its channel and its actions are not used.
            "HOTLINE_ENGINE_TOKEN": "unused",
            "HOTLINE_ACTIONS_URL": "http://127.0.0.1:9/webhook",
        }  # fmt: skip
        command = [
            str(ENGINE_BIN / "python"), "-m", "bot.engine.serve", "run", "--enable-api",
            "--model", str(self.model), "--interface", "127.0.0.1", "--port", str(self.port),
            "--endpoints", "bot/engine/server/endpoints.yml",
            "--credentials", "bot/engine/server/credentials.yml",
        ]  # fmt: skip
        return command, ROOT, environment

    def _understands(self, process: psutil.Process) -> bool:
        return True


class Stock(Instance):
    """`rasa run` in the stock project, with an empty tracker database."""

    name = "stock"
    ready_path = "/status"

    def _understands(self, process: psutil.Process) -> bool:
        return self.process is not None and process.pid == self.process.pid

    def _command(self) -> tuple[list[str], Path, dict[str, str]]:
        folder = self.model.parent.parent
        self.home.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("tracker.db*"):
            path.unlink()
        command = [
            str(ENGINE_BIN / "rasa"), "run", "--enable-api", "--model", str(self.model),
            "--interface", "127.0.0.1", "--port", str(self.port),
            "--endpoints", "endpoints.yml", "--credentials", "credentials.yml",
        ]  # fmt: skip
        return command, folder, stock_environment(folder)
