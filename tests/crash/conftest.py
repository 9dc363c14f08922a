"""How long the crash test kills, and the deployments that it kills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.load import deployment as deployments
from tests.load.deployment import Deployment

PROGRAMS = ("nginx", "redis-server", "psql")


@pytest.fixture(scope="session")
def seconds() -> float:
    """`HOTLINE_CRASH_SECONDS`: how long processes are killed; 120 unless told otherwise, 600 for the full run."""
    return float(os.environ.get("HOTLINE_CRASH_SECONDS") or 120)


@pytest.fixture
def embedded() -> Iterator[Deployment]:
    """The embedded default on SQLite."""
    _wanted()
    with deployments.embedded() as made:
        yield made


@pytest.fixture
def cluster() -> Iterator[Deployment]:
    """The cluster on PostgreSQL."""
    _wanted()
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        pytest.skip(f"not installed: {missing}")
    with deployments.cluster() as made:
        yield made


def _wanted() -> None:
    if os.environ.get("HOTLINE_SKIP_E2E") == "1":
        pytest.skip("HOTLINE_SKIP_E2E=1")


@pytest.fixture(autouse=True)
def deployment() -> None:
    """The processes have their own."""


@pytest.fixture(autouse=True)
def logged() -> None:
    """The processes log to files."""
