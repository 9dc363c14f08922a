"""One normal form of what people type, dictate or paste.

`normalise` folds widths and compatibility forms (NFKC), traditional characters (OpenCC t2s), case, zero-width
and control characters, emoji and long repetitions, so that a model sees one spelling.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import opencc

_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe00-\ufe0f\u20e3\U000e0000-\U000e007f]", re.UNICODE
)
_REPEAT = re.compile(r"(.)\1{3,}")
_SPACE = re.compile(r"\s+")
# Speech recognition writes hotline numbers out.
_SPOKEN = (
    (re.compile(r"[一幺]\s?二\s?三\s?[一幺]\s?五|1\s2\s3\s1\s5"), "12315"),
    (re.compile(r"[一幺]二三四五(?!六)"), "12345"),
)
_CJK_GAP = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")


@lru_cache(maxsize=1)
def _to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def normalise(text: str) -> str:
    """The normal form of `text`; may be empty. Never starts with "/", which Rasa takes for a command."""
    text = unicodedata.normalize("NFKC", text)
    text = _EMOJI.sub(" ", text)
    text = "".join(
        c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    text = _to_simplified().convert(text).lower()
    for spoken, digits in _SPOKEN:
        text = spoken.sub(digits, text)
    text = _REPEAT.sub(r"\1\1\1", text)
    text = _CJK_GAP.sub("", _SPACE.sub(" ", text)).strip()
    return text.lstrip("/").strip() if text.startswith("/") else text
