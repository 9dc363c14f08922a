"""A disk that can be full: a small file system where this machine lets us mount one, else a limit like a quota.

As root (or with `sudo` that asks nothing) the home is a tmpfs of its own, and a file fills it: writing gives ENOSPC. For
everybody else the kernel's limit on the size of a file is set on the running processes (`RLIMIT_FSIZE`): writing gives
EFBIG, which SQLite takes as it takes an exceeded quota.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path

SIZE = 192  # MiB: what the processes unpack and write in a whole run takes about half
FILLER = "filler"


class Disk:
    """The file system of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.mounted = self._mount()
        self._limited: list[int] = []

    def _command(self, *command: str) -> bool:
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        try:
            done = subprocess.run([*as_root, *command], capture_output=True, check=False)
        except FileNotFoundError:
            return False
        return done.returncode == 0

    def _mount(self) -> bool:
        options = f"size={SIZE}m,mode=711,uid={os.getuid()},gid={os.getgid()}"
        return self._command("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.home))

    def fill(self, processes: Iterable[int]) -> None:
        """Leave no room: for everybody on a file system of its own, else for these processes."""
        if self.mounted:
            with (self.home / FILLER).open("ab", buffering=0) as file:
                for size in (1 << 20, 4096, 1):
                    try:
                        while True:
                            file.write(b"\0" * size)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
            return
        self._limited = list(processes)
        for process in self._limited:
            # One page: no file of theirs is smaller, so that nothing can be written anywhere.
            resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def free(self) -> None:
        """Make room again."""
        if self.mounted:
            (self.home / FILLER).unlink(missing_ok=True)
        for process in self._limited:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)
        self._limited = []

    def unmount(self) -> None:
        """Give the file system back; lazily, for somebody may still stand in it."""
        if self.mounted:
            self._command("umount", "-l", str(self.home))
            self.mounted = False
