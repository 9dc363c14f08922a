"""`make cluster`: the scaled-out hotline for real on one machine.

PostgreSQL and Redis, two engines, two gateways, one desk, nginx in front. Each is the very program that runs in a
deployment; only the number of machines differs. Everything lives under `HOTLINE_HOME/cluster`.
"""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bot.operations import nginx
from bot.processes import Child, SetupError, engine_command, environment, for_engine, reading
from bot.settings import Settings
from bot.storage import upgrade

ENGINES = GATEWAYS = 2


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    found = next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None) or found
    if not found:
        raise SetupError(f"{name} is missing: install Debian's package {package}.")
    return found


def _wait(what: str, ready: Callable[[], bool], child: Child, patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not child.alive():
            tail = "\n".join(child.log.read_text("utf-8", "replace").splitlines()[-12:])
            raise SetupError(f"{what} did not start; the end of {child.log}:\n{tail}")
        if ready():
            return
        time.sleep(0.1)
    raise SetupError(f"{what} was not ready after {patience:.0f} seconds; see {child.log}.")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def reads(url: str, token: str) -> bool:
    """Whether an engine has a model: it is asked to read a sentence, which changes nothing."""
    body, headers = reading(token)
    try:
        answer = httpx.post(f"{url}webhook", json=body, headers=headers, timeout=30.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """Starts everything in order, replaces processes one by one without a failed request, stops everything."""

    def __init__(self, config: Settings, model: Path) -> None:
        self.config = config
        self.model = model
        self.folder = config.home_dir / "cluster"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        self._tokens = (secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        self._ports = {
            name: free_port()
            for name in (
                "postgres", "redis", "actions",
                *(f"engine{n}" for n in range(ENGINES)),
                *(f"gateway{n}" for n in range(GATEWAYS)),
                *(f"actions{n}" for n in range(GATEWAYS)),
            )
        }  # fmt: skip
        self.children: dict[str, Child] = {}

    @property
    def url(self) -> str:
        """Where citizens come in."""
        return f"http://127.0.0.1:{self.config.port}"

    def port_of(self, name: str) -> int:
        """The loopback port of one process."""
        return self._ports[name]

    @property
    def database_url(self) -> str:
        """The cluster's database."""
        return f"postgresql://hotline@127.0.0.1:{self._ports['postgres']}/hotline"

    def _child(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        child = Child(name, command, environment or for_engine(dict(os.environ)), log)
        self.children[name] = child
        child.start()
        return child

    # -- the engines everyone knows -------------------------------------------------------------------

    def _postgres(self) -> None:
        data = self.folder / "postgres"
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        as_user: list[str] = []
        if os.geteuid() == 0:
            as_user = ["runuser", "-u", "postgres", "--"]
            owner = pwd.getpwnam("postgres")
            data.mkdir(mode=0o700, exist_ok=True)
            os.chown(data, owner.pw_uid, owner.pw_gid)
        if not (data / "PG_VERSION").exists():
            subprocess.run(
                [
                    *as_user, _program("initdb", "postgresql"), "-A", "trust", "-U", "hotline", "-E", "UTF8",
                    "--locale=C.UTF-8", "-D", str(data),
                ],
                check=True, stdout=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        port = self._ports["postgres"]
        child = self._child(
            "postgres",
            [
                *as_user, _program("postgres", "postgresql"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port),
                "-k", "", "-c", "max_connections=200", "-c", "fsync=on",
            ],
        )  # fmt: skip
        child.quick_stop = signal.SIGINT  # "fast": it does not wait for its clients
        admin = [_program("psql", "postgresql-client"), "-h", "127.0.0.1", "-p", str(port), "-U", "hotline"]
        ask = [*admin, "-d", "postgres", "-tAc"]

        def ready() -> bool:
            return subprocess.run([*ask, "SELECT 1"], capture_output=True, check=False).returncode == 0

        _wait("PostgreSQL", ready, child, 30)
        known = subprocess.run(
            [*ask, "SELECT 1 FROM pg_database WHERE datname = 'hotline'"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        if not known.stdout.strip():
            subprocess.run([*ask, "CREATE DATABASE hotline"], check=True, capture_output=True)

    def _redis(self) -> None:
        port = self._ports["redis"]
        child = self._child(
            "redis",
            [
                _program("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1",
                "--save", "", "--appendonly", "no", "--dir", str(self.folder),
            ],
        )  # fmt: skip
        _wait("Redis", lambda: _listens(port), child, 15)

    def _nginx(self) -> None:
        run = self.folder / "nginx"
        run.mkdir(exist_ok=True)

        def servers(prefix: str) -> list[str]:
            return [f"127.0.0.1:{self._ports[f'{prefix}{n}']}" for n in range(GATEWAYS)]

        text = nginx.render(
            run,
            f"{self.config.host}:{self.config.port}",
            gateways=servers("gateway"),
            actions=servers("actions"),
            actions_port=self._ports["actions"],
        )
        path = run / "nginx.conf"
        # Started by root, nginx's workers would become another user, who cannot reach this folder.
        path.write_text(("user root;\n" if os.geteuid() == 0 else "") + text, "utf-8")
        child = self._child(
            "nginx",
            [_program("nginx", "nginx"), "-p", str(run), "-e", str(run / "nginx.error.log"), "-c", str(path),
             "-g", "daemon off;"],
        )  # fmt: skip
        _wait("nginx", lambda: _listens(self.config.port), child, 15)

    # -- our own processes -----------------------------------------------------------------------------

    def _environment(self, **over: object) -> dict[str, str]:
        engines = ",".join(f"http://127.0.0.1:{self._ports[f'engine{n}']}" for n in range(ENGINES))
        config = self.config.model_copy(
            update={
                "database_url": self.database_url,
                "redis_url": f"redis://127.0.0.1:{self._ports['redis']}/0",
                "engine_url": engines,
                "host": "127.0.0.1",
                "behind_proxy": True,
                **over,
            }
        )
        made = environment(config, *self._tokens)
        made["HOTLINE_ACTIONS_URL"] = f"http://127.0.0.1:{self._ports['actions']}/webhook/{self._tokens[1]}"
        return made

    def _engine(self, number: int) -> Child:
        port = self._ports[f"engine{number}"]
        return self._child(
            f"engine{number}",
            engine_command(self.model, port),
            for_engine(self._environment(engine_port=port)),
        )

    def _gateway(self, number: int) -> Child:
        made = self._environment(
            port=self._ports[f"gateway{number}"], actions_port=self._ports[f"actions{number}"]
        )
        return self._child(f"gateway{number}", [sys.executable, "-m", "bot.channels.serve"], made)

    def _engine_ready(self, number: int) -> None:
        url = f"http://127.0.0.1:{self._ports[f'engine{number}']}/webhooks/turn/"
        child = self.children[f"engine{number}"]
        _wait(f"engine {number}", lambda: _answers(url), child, 120)
        # Rasa serves without a model when it cannot load the file: it has to read something once.
        if not reads(url, self._tokens[0]):
            raise SetupError(
                f"engine {number} did not start with {self.model}, which it cannot load; see {child.log}."
            )

    def _gateway_ready(self, number: int) -> None:
        url = f"http://127.0.0.1:{self._ports[f'gateway{number}']}/readyz"
        _wait(f"gateway {number}", lambda: _answers(url), self.children[f"gateway{number}"], 60)

    def start(self) -> None:
        """Start all and wait until citizens and staff can come in. Raises `SetupError`."""
        try:
            self._postgres()
            self._redis()
            upgrade(self.database_url)
            for number in range(ENGINES):
                self._engine(number)
            for number in range(GATEWAYS):
                self._gateway(number)
            desk = self._child("desk", [sys.executable, "-m", "bot.desk.serve"], self._environment())
            self._nginx()
            for number in range(ENGINES):
                self._engine_ready(number)
            for number in range(GATEWAYS):
                self._gateway_ready(number)
            url = f"http://127.0.0.1:{self.config.desk_port}/healthz"
            _wait("the desk", lambda: _answers(url), desk, 60)
        except (OSError, subprocess.CalledProcessError) as error:
            self.stop()
            raise SetupError(f"The cluster did not start: {error}") from error
        except SetupError:
            self.stop()
            raise

    def replace_gateway(self, number: int) -> None:
        """Replace one gateway: it finishes what it has, the other one takes what comes meanwhile."""
        self.children[f"gateway{number}"].stop(patience=20)
        self._gateway(number)
        self._gateway_ready(number)

    def replace_engine(self, number: int, model: Path | None = None) -> None:
        """Replace one engine, with another model if one is given.

        An engine that does not start with the other model is started with the one before; then `SetupError` is raised.
        """
        before, self.model = self.model, model or self.model
        self.children[f"engine{number}"].stop(patience=30)
        self._engine(number)
        try:
            self._engine_ready(number)
        except SetupError:
            if before != self.model:
                self.children[f"engine{number}"].stop()
                self.model = before
                self._engine(number)
                self._engine_ready(number)
            raise

    def roll(self, model: Path | None = None) -> None:
        """Replace every engine and gateway, one after the other; citizens notice nothing."""
        for number in range(ENGINES):
            self.replace_engine(number, model)
        for number in range(GATEWAYS):
            self.replace_gateway(number)

    def watch(self) -> None:
        """Start again what ends by itself, until interrupted."""
        while True:
            time.sleep(0.5)
            for child in self.children.values():
                if not child.alive():
                    print(f"== {child.name} ended; starting it again (see {child.log})", flush=True)
                    child.start()

    def stop(self) -> None:
        """Stop all, the doors first, the database last."""
        order = ["nginx", "desk", *(f"gateway{n}" for n in range(GATEWAYS))]
        order += [*(f"engine{n}" for n in range(ENGINES)), "redis", "postgres"]
        for name in order:
            if name in self.children:
                self.children[name].stop(patience=15)
