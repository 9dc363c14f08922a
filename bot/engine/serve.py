"""`rasa` with this project's settings: `python -m bot.engine.serve run …` in the engine's environment.

Keeps jieba's cache out of the shared temporary folder and Rasa's imports out of `PATH`.
"""

from __future__ import annotations

import sys
import tempfile

import jieba


def main() -> None:
    """Run Rasa's command line in this interpreter."""
    jieba.dt.tmp_dir = tempfile.gettempdir()
    sys.path.insert(0, "")
    from rasa.__main__ import main as rasa

    sys.argv[0] = "rasa"
    rasa()


if __name__ == "__main__":
    main()
