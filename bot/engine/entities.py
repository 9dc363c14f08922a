"""Entities of a message (placeholder until the extraction lands)."""

from __future__ import annotations

from typing import Any


def extract(text: str) -> list[dict[str, Any]]:
    """Entities of `text`."""
    return []
