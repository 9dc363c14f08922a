"""PostgreSQL's own programs: dump a database as one moment saw it, and load a dump in one transaction."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from bot.operations.archive import BackupError


def tool(name: str) -> str:
    """The path of a program of PostgreSQL; raises `BackupError` when it is not installed."""
    # Debian keeps PostgreSQL's programs of each version in a folder of its own.
    found = shutil.which(name) or next(
        iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None
    )
    if not found:
        raise BackupError(f"{name} is not on this machine: install PostgreSQL's client programs.")
    return found


def plain_url(url: str) -> str:
    """The URL as libpq reads it, without the password: other users of the machine can read a command line."""
    # `set(password=None)` would leave it in.
    bare = make_url(url)._replace(password=None, drivername="postgresql")
    return bare.render_as_string(hide_password=False)


def _run(command: list[str], url: str) -> None:
    password = make_url(url).password
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    name = Path(command[0]).name
    if "No space left on device" in done.stderr or done.returncode == -signal.SIGXFSZ:
        raise BackupError(f"{name} found no room left on the disk: free some space and try again.")
    if done.returncode < 0:
        raise BackupError(f"{name} was ended by signal {-done.returncode}.")
    lines = [line for line in done.stderr.strip().splitlines() if line]
    raise BackupError(f"{name} failed: {lines[0] if lines else f'exit status {done.returncode}'}")


def dump(url: str, target: Path, snapshot: str) -> None:
    """Write the database as the transaction that exported `snapshot` sees it. Raises `BackupError`."""
    _run(
        [
            tool("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}",
            # The archive is packed as a whole.
            "--compress=0", "--file", str(target), plain_url(url),
        ],
        url,
    )  # fmt: skip


def load(url: str, source: Path) -> None:
    """Replace what is in the database by the dump, all of it or nothing. Raises `BackupError`."""
    _run(
        [
            tool("pg_restore"), "--clean", "--if-exists", "--no-owner", "--no-privileges",
            "--single-transaction", "--exit-on-error", "--dbname", plain_url(url), str(source),
        ],
        url,
    )  # fmt: skip
