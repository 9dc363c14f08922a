"""One normal form of what people type, dictate or paste.

`normalise` folds widths and compatibility forms (NFKC), traditional characters (OpenCC t2s), case, zero-width
and control characters, emoji and long repetitions, so that a model sees one spelling. `syllables` gives the
toneless, accent-folded pinyin that makes homophones of speech recognition (电替 = 电梯) alike.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import opencc
from pypinyin import Style, lazy_pinyin

_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe00-\ufe0f\u20e3\U000e0000-\U000e007f]", re.UNICODE
)
_REPEAT = re.compile(r"(.)\1{3,}")
_SPACE = re.compile(r"\s+")
_CJK_GAP = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
_LATIN = re.compile(r"[a-zü]+")


@lru_cache(maxsize=1)
def _to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def normalise(text: str) -> str:
    """The normal form of `text`; may be empty. Never starts with "/", which Rasa takes for a command."""
    text = unicodedata.normalize("NFKC", text)
    text = _EMOJI.sub(" ", text)
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    text = _to_simplified().convert(text).lower()
    text = _REPEAT.sub(r"\1\1\1", text)
    text = _CJK_GAP.sub("", _SPACE.sub(" ", text)).strip()
    return text.lstrip("/").strip() if text.startswith("/") else text


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


def syllables(text: str) -> list[str]:
    """Folded pinyin syllables of normalised `text`; Latin words that are pinyin are split, others kept."""
    result: list[str] = []
    for part in lazy_pinyin(text, style=Style.NORMAL, errors=lambda run: re.findall(r"[a-zü]+|\d+", run)):
        if _LATIN.fullmatch(part):
            result += [_fold(s) for s in _split_latin(part)]
        else:
            result.append("0" if part.isdigit() else part)
    return result
