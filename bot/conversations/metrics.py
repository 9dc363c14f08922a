"""What turns count while they run; `bot.channels.metrics` publishes it."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

LOCK_WAIT_SECONDS = Histogram(
    "hotline_turn_lock_wait_seconds",
    "How long a message waited for the turn before it in its conversation",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
ENGINE_FAILURES = Counter(
    "hotline_engine_failures_total", "Turns that the engine did not decide, by reason", ["reason"]
)
