"""Rate limits in memory: a token bucket per key, so that one sender cannot crowd out the others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

KEYS = 50_000  # More keys than this and the oldest are forgotten: an attacker must not fill the memory.


class TokenBuckets:
    """`per_minute` tokens a minute and key, at most `burst` saved up."""

    def __init__(
        self, per_minute: int, burst: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = per_minute / 60.0
        self.burst = float(burst or per_minute)
        self.clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> int:
        """0 when the call may pass, else the seconds to wait (at least 1)."""
        now = self.clock()
        tokens, then = self._buckets.pop(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        passed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if passed else tokens, now)
        while len(self._buckets) > KEYS:
            self._buckets.popitem(last=False)
        return 0 if passed else max(1, round((1.0 - tokens) / self.rate))
