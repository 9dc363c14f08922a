"""The engine's environment holds none of the service: the fixtures of its tests are left out."""

import os

import pytest

os.environ.setdefault("RASA_TELEMETRY_ENABLED", "false")
os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")


@pytest.fixture(autouse=True)
def deployment():
    """Instead of the service's home and key."""


@pytest.fixture(autouse=True)
def logged():
    """Instead of the service's log capture."""


@pytest.fixture(autouse=True)
def listeners():
    """Instead of those who hear of the service's cases."""
