"""What a reviewed message may be labelled as: the acts, facets and topics of `nlu_data/` (its README.md).

One place decides, so that what staff choose on the page is what the training data can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

from bot.conversations import emergency
from bot.desk.copilot_words import act_label
from bot.errors import HotlineError, Problem
from bot.policy import load
from bot.policy.pack import FACETS
from bot.settings import ROOT

MADE_BY_GATE = frozenset({"inform", "ask_back", "unclear"})  # never an example's act
CHITCHAT = ("greet", "thanks", "bye", "bot", "ack", "praise", "abuse", "mood", "joke", "unclear")


@lru_cache
def acts() -> tuple[str, ...]:
    """The acts that an example may have."""
    domain = yaml.safe_load((ROOT / "bot" / "domain" / "acts.yml").read_text("utf-8"))
    return tuple(act for act in domain["intents"] if act not in MADE_BY_GATE)


def facets_of(act: str) -> tuple[str, ...]:
    """What may stand as the facet (or, of some acts, the topic) of an act; empty: nothing may."""
    if act in ("policy", "followup"):
        return FACETS
    if act == "notice":
        return tuple(load().notice.about)
    if act == "emergency":
        return tuple(emergency.topics())
    return CHITCHAT if act == "chitchat" else ()


def check(act: str, measures: Sequence[int], facet: str | None, *, ambiguous: bool = False) -> None:
    """Raise `HotlineError` (WRONG_LABEL) unless the label can stand in `nlu_data/`."""
    good = act in acts()
    good = good and all(n in load().measures for n in measures) and len(set(measures)) == len(measures)
    good = good and bool(measures) == (act == "policy")
    good = good and (facet is None or facet in facets_of(act))
    # An ambiguous question is asked back between measures; it has no facet of its own.
    good = good and (not ambiguous or (act == "policy" and len(measures) > 1))
    if act in ("policy", "notice", "emergency", "chitchat"):
        good = good and (facet is not None or ambiguous)
    if not good:
        raise HotlineError(Problem.WRONG_LABEL)


def metadata(
    act: str, measures: Sequence[int], facet: str | None, *, specified: bool = True, ambiguous: bool = False
) -> dict[str, Any]:
    """The block's metadata as `nlu_data/` writes it."""
    if act == "policy":
        known: dict[str, Any] = {"measures": list(measures)}
        if ambiguous:
            return known | {"ambiguous": True}
        return known | {"facet": facet or "what"} | ({} if specified else {"specified": False})
    if act in ("notice", "followup"):
        return {"facet": facet} if facet else {}
    if act == "oos":
        return {"topic": "misc"}
    return {"topic": facet} if facet else {}


def choices() -> dict[str, Any]:
    """All that a page offers."""
    pack = load()
    return {
        "acts": [{"act": act, "label": act_label(act), "facets": list(facets_of(act))} for act in acts()],
        "facets": [{"facet": name, "label": pack.notice.facets[name].name} for name in FACETS],
        "measures": [{"measure": n, "label": m.short} for n, m in sorted(pack.measures.items())],
    }
