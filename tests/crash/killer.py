"""Kills processes at random with -9, each only while it works: what is dead already cannot lose anything."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx
import psutil

from bot.processes import Child
from tests.load.deployment import Deployment

# What must have been answered since a process works again before it is killed the next time: in between there must be
# something to lose, however slow the machine is.
REST = {"engine": 300, "gateway": 50, "desk": 20, "postgres": 120, "redis": 20}


def kind_of(name: str) -> str:
    """engine1 → engine."""
    return name.rstrip("0123456789")


class Killer(threading.Thread):
    """Kills one of the deployment's processes every `every` seconds (from, to); `killed` counts them by name."""

    def __init__(
        self,
        deployment: Deployment,
        every: tuple[float, float],
        chance: random.Random,
        answered: Callable[[], int],
    ) -> None:
        """`answered`: how many messages have been answered so far."""
        super().__init__(name="killer", daemon=True)
        self.deployment = deployment
        self.every = every
        self.chance = chance
        self.answered = answered
        self.killed: Counter[str] = Counter()
        self.over = threading.Event()
        self._works_since: dict[str, int] = {}  # what had been answered then

    def run(self) -> None:
        """Until `stop`."""
        due = time.monotonic() + self.chance.uniform(*self.every)
        with httpx.Client(trust_env=False, timeout=3.0) as http:
            while not self.over.wait(0.5):
                ripe = [name for name in self.deployment.children if self._ripe(name, http)]
                if ripe and time.monotonic() >= due:
                    self._kill(self.chance.choice(ripe))
                    due = time.monotonic() + self.chance.uniform(*self.every)

    def stop(self) -> None:
        """Kill nothing any more."""
        self.over.set()
        self.join()

    def _ripe(self, name: str, http: httpx.Client) -> bool:
        if kind_of(name) not in REST:
            return False
        child = self.deployment.children[name]
        works = child.alive()
        if works and name in self.deployment.doors:
            works = False
            with contextlib.suppress(httpx.HTTPError):
                works = http.get(self.deployment.doors[name]).status_code == 200
        if not works:
            self._works_since.pop(name, None)
            return False
        answered = self.answered()
        return answered - self._works_since.setdefault(name, answered) >= REST[kind_of(name)]

    def _kill(self, name: str) -> None:
        child = self.deployment.children[name]
        child.restarts.clear()  # Or else each one would wait twice as long as the last.
        with contextlib.suppress(psutil.NoSuchProcess):
            victim(child).kill()
            self.killed[name] += 1
        self._works_since.pop(name, None)


def victim(child: Child) -> psutil.Process:
    """The process to kill: the child, or, where another program only starts it as another user, what that started."""
    assert child.process is not None
    top = psutil.Process(child.process.pid)
    if top.name() == "runuser" and (started := top.children()):
        return started[0]
    return top
