"""How a sentence sounds: toneless pinyin with the accents of the North-east folded.

Homophones of speech recognition (电替 = 电梯) and words typed in pinyin (xiaodu酒精) come out alike, so that
no list of misspellings is needed.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

# One reading a character is enough, since learning and reading use the same; the phrases take 40 MB.
os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")
os.environ.setdefault("PYPINYIN_NO_DICT_COPY", "true")

from pypinyin import Style, lazy_pinyin

_LATIN = re.compile(r"[a-zü]+")
_SOUNDING = re.compile(r"[a-zü]+|\d+|[^\x00-\x7f]")


# z/zh, c/ch, s/sh and -n/-ng fall together in the North-east and in speech recognition.
def _fold(syllable: str) -> str:
    for retroflex in ("zh", "ch", "sh"):
        if syllable.startswith(retroflex):
            syllable = syllable[0] + syllable[2:]
            break
    return syllable[:-1] if syllable.endswith("ng") else syllable


@lru_cache(maxsize=1)
def _known_syllables() -> frozenset[str]:
    found = lazy_pinyin("".join(map(chr, range(0x4E00, 0x9FA6))), style=Style.NORMAL)
    return frozenset(s for s in found if s.isalpha() and s.isascii() and len(s) <= 6)


@lru_cache(maxsize=4096)
def _split_latin(word: str) -> tuple[str, ...]:
    """`word` as pinyin syllables (xiaodu → xiao, du), or itself when it is not pinyin."""
    known = _known_syllables()
    best: list[tuple[str, ...] | None] = [()] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - 6), end):
            head = best[start]
            if head is not None and word[start:end] in known:
                candidate = (*head, word[start:end])
                current = best[end]
                if current is None or len(candidate) < len(current):
                    best[end] = candidate
    whole = best[-1]
    # Short words of two letters or one syllable of an English sentence are left alone.
    return whole if whole else (word,)


def _of_part(part: str) -> tuple[str, ...]:
    """The folded syllables of a Latin word, a number or a Chinese character; none of any other sign."""
    if _LATIN.fullmatch(part):
        return tuple(map(_fold, _split_latin(part)))
    if part.isdigit():
        return ("0",)
    return tuple(map(_fold, lazy_pinyin(part, style=Style.NORMAL, errors="ignore")))


_of_sign = lru_cache(maxsize=16384)(_of_part)  # for parts of one sign, as nearly all are


def syllables(text: str) -> list[str]:
    """Folded pinyin syllables of normalised `text`; Latin words that are pinyin are split, others kept."""
    found: list[str] = []
    for part in _SOUNDING.findall(text):
        found += _of_sign(part) if len(part) == 1 else _of_part(part)
    return found
