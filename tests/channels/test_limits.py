"""The token buckets."""

from bot.channels import limits
from bot.channels.limits import TokenBuckets


class Ticks:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_is_full_at_first_then_fills_evenly():
    clock = Ticks()
    buckets = TokenBuckets(6, clock=clock)
    assert [buckets.take("a") for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10]
    clock.now = 4
    assert buckets.take("a") == 6
    clock.now = 10
    assert [buckets.take("a"), buckets.take("a")] == [0, 10]


def test_a_bucket_never_holds_more_than_its_burst():
    clock = Ticks()
    buckets = TokenBuckets(60, burst=2, clock=clock)
    clock.now = 3600
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]


def test_keys_are_apart():
    buckets = TokenBuckets(1, clock=Ticks())
    assert [buckets.take(key) for key in ("a", "b", "a", "b")] == [0, 0, 60, 60]


def test_many_keys_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(limits, "KEYS", 3)
    buckets = TokenBuckets(1, clock=Ticks())
    for key in "abcd":
        buckets.take(key)
    assert len(buckets._buckets) == 3
    assert buckets.take("a") == 0
    assert buckets.take("d") == 60
