"""The notice as data, and answers composed from it.

A *pack* is one folder (`packs/jilin-2020-26/`): `notice.txt` (the text, verbatim), `notice.yml` (facts about
the document, validity, the names of the facets) and `measures/NN_topic.yml` (one file a measure).
`pack.load` refuses a pack whose quote is not in its clause. `answers` composes; nothing here does I/O but
reading the pack, and nothing knows of Rasa, HTTP or pages. Another notice is another folder, no code.
"""

from bot.policy.pack import Pack, PackError, load

__all__ = ["Pack", "PackError", "load"]
