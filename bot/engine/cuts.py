"""Jieba's cut of a message, used again for its parts and for its raw form.

Jieba cuts a text block by block: runs of Chinese characters, Latin letters and digits, and what stands between
them. The words of a block depend on nothing outside it, so that a block that was cut before need not be cut again.
"""

from __future__ import annotations

from collections.abc import Sequence

import jieba


def _blocks(text: str) -> list[str]:
    return [block for block in jieba.re_han_default.split(text) if block]


class Cuts:
    """Cuts texts as `jieba.lcut` does; knows the words of one text already."""

    def __init__(self, text: str = "", tokens: Sequence[str] = ()) -> None:
        self._known: dict[str, Sequence[str]] = {}
        end = 0
        for block in _blocks(text):
            start, length = end, 0
            while length < len(block) and end < len(tokens):
                length += len(tokens[end])
                end += 1
            if "".join(tokens[start:end]) == block:
                self._known[block] = tokens[start:end]

    def __call__(self, text: str) -> list[str]:
        """The words of `text`."""
        return [word for block in _blocks(text) for word in self._known.get(block) or jieba.lcut(block)]
