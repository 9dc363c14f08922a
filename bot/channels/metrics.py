"""Prometheus metrics of the gateway."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from bot.conversations.metrics import ENGINE_FAILURES, LOCK_WAIT_SECONDS
from bot.storage import ERRORS as DATABASE_ERRORS

__all__ = ["DATABASE_ERRORS", "ENGINE_FAILURES", "LOCK_WAIT_SECONDS"]  # published here, counted there

MESSAGES = Counter("hotline_messages_total", "Citizens' messages stored", ["channel"])
DUPLICATES = Counter(
    "hotline_duplicate_deliveries_total", "Deliveries of a message that was stored before", ["channel"]
)
ANSWERS = Counter("hotline_answers_total", "Replies by kind", ["kind"])
REFUSED = Counter("hotline_refused_total", "Requests refused, by error code", ["code"])
TURN_SECONDS = Histogram(
    "hotline_turn_seconds",
    "From a stored message to its stored replies",
    buckets=(0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
COPILOT_SECONDS = Histogram(
    "hotline_copilot_seconds",
    "From an agent's words to the copilot's suggestions",
    buckets=(0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
COPILOT_OUTCOMES = Counter(
    "hotline_copilot_outcomes_total", "What agents made of suggestions", ["kind", "outcome"]
)
