"""The real processes with a home of their own: the embedded default (SQLite, supervisor) or the cluster (PostgreSQL)."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bot.crypto import DataKey, set_data_key
from bot.operations.cluster import Cluster, free_port
from bot.processes import Child, Supervisor, train
from bot.settings import ROOT, Settings
from bot.storage import upgrade


@dataclass
class Deployment:
    """Running processes; `children` by name, each started again when it ends by itself."""

    name: str
    config: Settings
    database: str
    children: dict[str, Child]
    doors: dict[str, str]  # the URL that answers 200 while the process of that name works

    @property
    def url(self) -> str:
        """Where citizens come in."""
        return f"http://127.0.0.1:{self.config.port}"

    @property
    def desk(self) -> str:
        """Where staff come in."""
        return f"http://127.0.0.1:{self.config.desk_port}"

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What runs now: a child and all that it started, by the child's name, and this process as `supervisor`."""
        found: dict[str, list[psutil.Process]] = {}
        for name, child in self.children.items():
            if child.process is None:
                continue
            try:
                top = psutil.Process(child.process.pid)
                found[name] = [top, *top.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def resident(self) -> dict[str, float]:
        """Megabytes resident by name."""
        sizes: dict[str, float] = {}
        for name, processes in self.processes().items():
            sizes[name] = sum(_resident(process) for process in processes) / 2**20
        return sizes

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time used so far, by name."""
        return {
            name: sum(_cpu(process) for process in processes) for name, processes in self.processes().items()
        }


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.Error:
        return 0.0


def settings(home: Path, **over: object) -> Settings:
    """Settings of a deployment on free ports, whatever the environment says."""
    known: dict[str, object] = {
        "home": home, "model": Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models"), "database_url": "", "key": "",
        "engine_url": "", "redis_url": "", "rate_limits": "off", "debug": False, "sms_gateway": "", "wechat_token": "",
        "port": free_port(), "engine_port": free_port(),
        "actions_port": free_port(), "desk_port": free_port(), "desk": "on",
    }  # fmt: skip
    return Settings(**(known | over))  # type: ignore[arg-type]


@contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="hotline-load-"))
    # PostgreSQL's own user must get through.
    home.chmod(0o711)
    try:
        yield home
    finally:
        set_data_key(None)
        shutil.rmtree(home, ignore_errors=True)


def _doors(ports: dict[str, int]) -> dict[str, str]:
    paths = {name: "/webhooks/turn/" if name.startswith("engine") else "/healthz" for name in ports}
    return {name: f"http://127.0.0.1:{port}{paths[name]}" for name, port in ports.items()}


@contextmanager
def embedded(**over: object) -> Iterator[Deployment]:
    """Supervisor, engine, gateway, desk on SQLite, as `hotline up` starts them."""
    with _home() as home:
        config = settings(home, **over)
        model = train(config)
        upgrade(config.database)
        supervisor = Supervisor(config, model)
        children = {child.name: child for child in supervisor.children}
        doors = {"gateway": config.port, "engine": config.engine_port, "desk": config.desk_port}
        made = Deployment("embedded", config, config.database, children, _doors(doors))
        supervisor.start()
        watching = threading.Thread(target=supervisor.watch)
        watching.start()
        try:
            set_data_key(DataKey.from_file(home / config.key_file))
            yield made
        finally:
            supervisor.stop()
            watching.join()


@contextmanager
def cluster(**over: object) -> Iterator[Deployment]:
    """PostgreSQL, Redis, nginx, two engines, two gateways, a desk, as `hotline cluster` starts them."""
    with _home() as home:
        config = settings(home, **over)
        running = Cluster(config, train(config))
        running.start()
        doors = {
            name: running.port_of(name) for name in running.children if name[:-1] in ("engine", "gateway")
        }
        doors["desk"] = config.desk_port
        made = Deployment("cluster", config, running.database_url, running.children, _doors(doors))
        over_ = threading.Event()
        watching = threading.Thread(target=_watch, args=(running, over_))
        watching.start()
        try:
            set_data_key(DataKey.from_file(home / config.key_file))
            yield made
        finally:
            over_.set()
            watching.join()
            running.stop()


def _watch(running: Cluster, over: threading.Event) -> None:
    # As Cluster.watch, which runs until it is interrupted.
    while not over.wait(0.5):
        for child in running.children.values():
            if not child.alive():
                child.start()
