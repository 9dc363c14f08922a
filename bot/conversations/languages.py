"""Which language a message is in, as far as it matters: a short line in it and the way to a person."""

from __future__ import annotations

import re

_KANA = re.compile(r"[\u3040-\u30ff]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+")
# Signs that Mandarin does not use, and pairs that it does not use so. 唔 alone is also a Mandarin interjection.
_CANTONESE = re.compile(
    r"[嘅咗冇喺哋嚟㗎啲攞嗰搵揾𨋢佢]|唔(该|該|系|係|使|可以|知|得|好|想|会|會|识|識|到|见|見|肯|俾|再|係)|[係系]咪|边度|邊度|而家|点算|點算|"
    r"几多|幾多钱|点解|點解|琴日|听日|聽日"
)
_ENGLISH = re.compile(
    r"the|is|are|am|to|my|me|we|us|can|do|does|how|our|for|what|where|when|which|who|you|your|hello|hi|please|of|in|on|at|"
    r"an?|and|or|not?|it|this|that|there|with|from|have|has|need|want|will|would|help|any|i"
)
_SYLLABLES = re.compile(
    r"(?:(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?"
    r"(?:iang|iong|uang|ang|eng|ing|ong|ian|iao|uai|uan|ai|ei|ui|ao|ou|iu|ie|ue|er|an|en|in|un|ia|ua|uo|a|o|e|i|u|v))+"
)
_PINYIN = re.compile(
    r"wo|ni|ta|women|nimen|de|le|ma|ba|ne|bu|mei|you|neng|zai|shi|na|nali|zhege?|zenme|zenyang|shenme|sha|yao|xiang|qu|lai|"
    r"hao|qian|duo|duoshao|ji|dou|hai|gei|jiu|dao|ren|kuai|qing|keyi|hui|shang|xia|li|ya|zhuan|rengong|chang|zheng|ban|dian|"
    r"daoqi|dianti|jiance|mianfei|shenqing"
)


def language_of(text: str) -> str:
    """ko, ja, ru, yue, pinyin or en when the message is mostly in that language, else empty (Mandarin or unclear)."""
    if _HANGUL.search(text):
        return "ko"
    if len(_KANA.findall(text)) >= 2:
        return "ja"
    if len(_CYRILLIC.findall(text)) >= 4:
        return "ru"
    if _CANTONESE.search(text):
        return "yue"
    han, words = len(_HAN.findall(text)), [word.lower() for word in _WORD.findall(text)]
    if han > 2 or len(words) < 3:
        return ""
    pinyin, english = (sum(bool(known.fullmatch(word)) for word in words) for known in (_PINYIN, _ENGLISH))
    # A few words are both (he, me, can, hen): the more common ones of the two decide.
    if pinyin and pinyin >= english and all(_SYLLABLES.fullmatch(word) for word in words):
        return "pinyin"
    return "en" if english else ""
