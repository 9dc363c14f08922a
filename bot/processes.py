"""The processes of one machine: model, engine, gateway, desk; started in order, watched, stopped together."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from bot.settings import ROOT, Settings

ENGINE_BIN = ROOT / ".venv-engine" / "bin"
# Everything a model depends on; a model's file name is the hash over it.
MODEL_INPUTS = ("config.yml", "nlu_data", "bot/domain", "bot/engine", "uv.lock")
QUIET = {
    "RASA_TELEMETRY_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "PYTHONWARNINGS": "ignore",
    "CUDA_VISIBLE_DEVICES": "",
    # Rasa's linear algebra is tiny; more threads only fight over the cores.
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


LOOK_EVERY = 5.0  # seconds between two looks at whether the children answer
LOOK_PATIENCE = 5.0  # seconds that a child has for its answer
HUNG_AFTER = 60.0  # seconds of silence after which a child that had answered is replaced
STUCK_AFTER = 300.0  # seconds after which one is that has not answered since it was started


class SetupError(Exception):
    """Something is missing; the message says what and how to get it."""


def _inputs() -> Iterator[Path]:
    for name in MODEL_INPUTS:
        path = ROOT / name
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.is_file() and p.suffix in {".py", ".yml", ".txt"})
            yield from sorted(found)
        else:
            yield path


def model_path(config: Settings) -> Path:
    """The file of the model that belongs to the sources as they are."""
    folder = config.model if config.model.is_absolute() else ROOT / config.model
    if folder.suffix == ".gz":
        return folder
    digest = hashlib.sha256()
    for path in _inputs():
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return folder / f"{digest.hexdigest()[:16]}.tar.gz"


def train(config: Settings, *, force: bool = False) -> Path:
    """The current model, trained if it is not there yet. Raises `SetupError` when training fails."""
    path = model_path(config)
    if path.exists() and not force:
        return path
    if not (ENGINE_BIN / "rasa").exists():
        raise SetupError("The engine's environment is missing: run `make setup`.")
    print("== training the model (about a minute and a half)", flush=True)
    log = config.home_dir / "train.log"
    with log.open("wb") as out:
        done = subprocess.run(
            [
                ENGINE_BIN / "rasa",
                "train",
                # `make validate` does this, in CI; it reads all examples once more.
                "--skip-validation",
                "--out",
                path.parent,
                "--fixed-model-name",
                path.name.removesuffix(".tar.gz"),
            ],
            cwd=ROOT,
            env=for_engine(environment(config, "", "")),
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode or not path.exists():
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
        raise SetupError(f"Training failed; the end of {log}:\n{tail}")
    return path


def environment(config: Settings, engine_token: str, actions_token: str) -> dict[str, str]:
    """What every child process of a deployment finds in its environment."""
    url = f"http://127.0.0.1:{config.actions_port}/webhook/{actions_token}"
    cache = config.home_dir / "cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return {
        **os.environ,
        **QUIET,
        # The children have the very settings of this process, wherever those came from.
        **{f"HOTLINE_{name.upper()}": str(value) for name, value in config.model_dump(mode="json").items()},
        "HOTLINE_ACTIONS_URL": url,
        "HOTLINE_ENGINE_TOKEN": engine_token,
        "HOTLINE_ACTIONS_TOKEN": actions_token,
        # Not the shared temporary folder: another user could plant a dictionary cache there.
        "TMPDIR": str(cache),
    }


def for_engine(made: dict[str, str]) -> dict[str, str]:
    """Of `environment`, what an engine may know: it needs neither the data key nor anybody's password."""
    return {
        name: value
        for name, value in made.items()
        if not name.startswith("HOTLINE_") or name in ("HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_URL")
    }


def reading(token: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a call that makes an engine read a sentence and changes nothing: it shows that it has a model."""
    body = {"conversation_id": "look", "message_id": "look", "text": "你好", "context": {"read_only": True}}
    return body, {"X-Hotline-Token": token}


def engine_command(model: Path, port: int) -> list[str]:
    """How an engine is started: on loopback, with the endpoints that take tokens from the environment."""
    return [
        str(ENGINE_BIN / "python"), "-m", "bot.engine.serve", "run",
        "--model", str(model), "--interface", "127.0.0.1", "--port", str(port),
        "--endpoints", "bot/engine/server/endpoints.yml",
        "--credentials", "bot/engine/server/credentials.yml",
    ]  # fmt: skip


@lru_cache
def _with_parent() -> list[str]:
    # A supervisor that is killed with -9 cannot stop its children; the kernel does it then.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


@dataclass
class Child:
    """One child process, restarted when it dies by itself."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: list[float] = field(default_factory=list)
    quick_stop: signal.Signals = signal.SIGTERM  # the signal that ends it soon and cleanly
    health: str = ""  # a URL that answers as long as the process does its work; empty: nobody looks
    asks: tuple[dict[str, Any], dict[str, str]] | None = None  # body and headers of a POST there; None: a GET
    answered: bool = False  # since it was started
    silent_since: float | None = None  # monotonic time of its start, or of the first look that got no answer
    due: float | None = None  # monotonic time at which it is started again

    def start(self) -> None:
        """Start the process; its output goes to the log file."""
        self.answered, self.silent_since, self.due = False, time.monotonic(), None
        # Neither the log nor a file that the process makes is for others on this machine.
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
            self.process = subprocess.Popen(
                [*_with_parent(), *self.command],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o077,
            )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def look(self, client: httpx.Client) -> float:
        """Ask whether it works; the seconds for which it has been silent."""
        if not self.health:
            return 0.0
        try:
            if self.asks:
                answer = client.post(self.health, json=self.asks[0], headers=self.asks[1])
            else:
                answer = client.get(self.health)
            silent = answer.status_code != 200
        except httpx.HTTPError:
            silent = True
        now = time.monotonic()
        if not silent:
            self.answered, self.silent_since = True, None
        elif self.silent_since is None:
            self.silent_since = now
        return 0.0 if self.silent_since is None else now - self.silent_since

    def kill(self) -> None:
        """End the process at once, whatever it is doing; `watch` starts it again."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self, patience: float = 10.0) -> None:
        """Ask the process to end, then end it; only ever this process and its own children."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, self.quick_stop)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Supervisor:
    """Starts engine, gateway and desk, waits until all are ready, keeps them running, stops them."""

    def __init__(self, config: Settings, model: Path) -> None:
        self.config = config
        engine_token, actions_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        shared = environment(config, engine_token, actions_token)
        logs = config.home_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        self.engine = Child(
            "engine", engine_command(model, config.engine_port), for_engine(shared), logs / "engine.log"
        )
        self.gateway = Child(
            "gateway", [sys.executable, "-m", "bot.channels.serve"], shared, logs / "gateway.log"
        )
        self.desk = Child("desk", [sys.executable, "-m", "bot.desk.serve"], shared, logs / "desk.log")
        # An engine whose model could not be loaded listens all the same; started again it may find a good one.
        self.engine.health = f"http://127.0.0.1:{config.engine_port}/webhooks/turn/webhook"
        self.engine.asks = reading(engine_token)
        self.gateway.health = f"http://127.0.0.1:{config.port}/healthz"
        self.desk.health = f"http://{config.desk_host}:{config.desk_port}/healthz"
        self.hung_after = HUNG_AFTER
        # The order in which they stop: those that people talk to first, then what these ask.
        self.children = [self.gateway, self.engine]
        if config.desk == "on":
            self.children.insert(1, self.desk)
        self._stopping = threading.Event()

    def start(self, patience: float = 120.0) -> None:
        """Start all and wait until gateway and desk say that they are ready; raises `SetupError`."""
        doors = [f"http://127.0.0.1:{self.config.port}/readyz"]
        if self.desk in self.children:
            doors.append(f"http://{self.config.desk_host}:{self.config.desk_port}/healthz")
        for child in self.children:
            child.start()
        deadline = time.monotonic() + patience
        with httpx.Client(trust_env=False, timeout=3.0) as client:
            while time.monotonic() < deadline:
                for child in self.children:
                    if not child.alive():
                        tail = "\n".join(child.log.read_text("utf-8", "replace").splitlines()[-12:])
                        self.stop()
                        raise SetupError(f"The {child.name} did not start; the end of {child.log}:\n{tail}")
                try:
                    if all(client.get(door).status_code == 200 for door in doors):
                        return
                except httpx.HTTPError:
                    pass
                time.sleep(0.2)
        self.stop()
        raise SetupError(f"Not ready after {patience:.0f} seconds; see {self.config.home_dir / 'logs'}.")

    def watch(self) -> None:
        """Restart what dies, waiting longer each time, and what hangs, until interrupted or stopped."""
        looked = time.monotonic()
        with httpx.Client(trust_env=False, timeout=LOOK_PATIENCE) as client:
            while not self._stopping.wait(0.5):
                for child in self.children:
                    # One that cannot start must not keep the others waiting.
                    if not child.alive():
                        self._start_again(child)
                if time.monotonic() - looked >= LOOK_EVERY:
                    for child in self.children:
                        silent = child.look(client) if child.alive() else 0.0
                        if silent >= (self.hung_after if child.answered else STUCK_AFTER):
                            print(f"== the {child.name} does not answer any more: ending it", flush=True)
                            child.kill()
                    looked = time.monotonic()

    def _start_again(self, child: Child) -> None:
        now = time.monotonic()
        if child.due is None:
            child.restarts = [t for t in child.restarts if now - t < 300] + [now]
            wait = min(30.0, 0.5 * 2 ** (len(child.restarts) - 1))
            child.due = now + wait
            print(
                f"== the {child.name} ended; starting it again in {wait:.1f} s (see {child.log})", flush=True
            )
        if now >= child.due and not self._stopping.is_set():
            child.start()

    def stop(self) -> None:
        """Stop all, gateway and desk before the engine, so that nobody is answered half."""
        self._stopping.set()
        for child in self.children:
            child.stop()
