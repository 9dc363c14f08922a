"""Rate limits: a token bucket per key, so that one sender cannot crowd out the others.

`TokenBuckets` counts in this process. `SharedBuckets` counts in Redis for several gateways together, and each for
itself while Redis is down: a limit that is too generous for some minutes is better than a hotline that is closed.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from bot.settings import Settings

logger = structlog.get_logger(__name__)

KEYS = 50_000  # More keys than this and the oldest are forgotten: an attacker must not fill the memory.
REDIS_SECONDS = 0.05  # A message must not wait for its rate limit.
REDIS_PAUSE = 5.0  # seconds for which a Redis that failed is not asked

# One bucket is a hash of tokens and the time of their count; Redis' own clock is everybody's.
_TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1e6
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(burst, (tonumber(known[1]) or burst) + (now - (tonumber(known[2]) or now)) * rate)
local passed = tokens >= 1
if passed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
if passed then return 0 end
return math.max(1, math.floor((1 - tokens) / rate + 0.5))
"""


def address_key(host: str) -> str:
    """What an address is counted under: an IPv6 one by its /64, which is what one customer of a carrier has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class Limiter(Protocol):
    """Anything that says whether a call may pass."""

    def take(self, key: str) -> int:
        """0 when the call may pass, else the seconds to wait (at least 1)."""
        ...


class Unlimited:
    """Lets everything pass, for measuring (`HOTLINE_RATE_LIMITS=off`)."""

    def take(self, key: str) -> int:
        """0."""
        return 0


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


class SharedBuckets:
    """The same, counted in Redis under `name`; by `own` buckets while Redis does not answer."""

    def __init__(
        self, url: str, name: str, own: TokenBuckets, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(_TAKE)
        self._name = name
        self._own = own
        self._clock = clock
        self._ask_again = float("-inf")

    def take(self, key: str) -> int:
        """0 when the call may pass, else the seconds to wait (at least 1)."""
        if self._clock() >= self._ask_again:
            try:
                return int(
                    self._script(keys=[f"hotline:{self._name}:{key}"], args=[self._own.rate, self._own.burst])
                )
            except redis.RedisError as error:
                self._ask_again = self._clock() + REDIS_PAUSE
                logger.warning("redis_down", error=type(error).__name__)
        return self._own.take(key)


def limiter(name: str, per_minute: int, burst: int | None = None, redis_url: str = "") -> Limiter:
    """The limiter of one thing: shared through Redis if there is one."""
    own = TokenBuckets(per_minute, burst)
    return SharedBuckets(redis_url, name, own) if redis_url else own


def limiter_of(config: Settings, name: str, per_minute: int, burst: int | None = None) -> Limiter:
    """The limiter of one thing in a deployment: counted by all its processes together where there is a Redis."""
    return Unlimited() if config.rate_limits == "off" else limiter(name, per_minute, burst, config.redis_url)
