"""Processes that the benchmark starts: each is ended with all that it started, by their ids."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.bench.plan import BenchError


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a command without input; its output goes to `log`."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def family(process: subprocess.Popen[bytes] | None) -> list[psutil.Process]:
    """The process and all that it started; empty when it does not run."""
    if process is None or process.poll() is not None:
        return []
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(process: subprocess.Popen[bytes] | None, patience: float = 20.0) -> None:
    """Ask it to end its family, then end what is left of exactly these processes."""
    started = family(process)
    if started:
        started[0].terminate()
    _, left = psutil.wait_procs(started, timeout=patience)
    for one in left:
        one.kill()
    psutil.wait_procs(left, timeout=5)
    if process is not None:
        process.wait()


def finish(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
    """Run a command to its end; raises `BenchError` with the end of its log when it fails."""
    process = start(command, folder, environment, log)
    try:
        code = process.wait()
    finally:
        end(process)
    if code:
        raise BenchError(f"{' '.join(command[:3])} failed; the end of {log}:\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
