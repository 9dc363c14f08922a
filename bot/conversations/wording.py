"""The fixed phrases of `phrases.yml`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml


@lru_cache
def phrases() -> dict[str, Any]:
    """What the assistant says outside the notice, by topic."""
    known: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "phrases.yml").read_text("utf-8"))
    return known
