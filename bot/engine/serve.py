"""`rasa` with this project's settings: `python -m bot.engine.serve run …` in the engine's environment.

Keeps jieba's cache out of the shared temporary folder and Rasa's imports out of `PATH`; replaces two of its parts that cost more
than all of ours (`runner`, `webhook`).
"""

from __future__ import annotations

import sys
import tempfile

import jieba


def leave_out_jax() -> None:
    """Make `import jax` fail in this process.

    Rasa imports TensorFlow for models that are not in our pipeline, and TensorFlow imports JAX for a converter if
    it can: 64 MB for nothing. TensorFlow is written to do without.
    """
    sys.modules["jax"] = None  # type: ignore[assignment]


def main() -> None:
    """Run Rasa's command line in this interpreter."""
    jieba.dt.tmp_dir = tempfile.gettempdir()
    leave_out_jax()
    sys.path.insert(0, "")
    from rasa.__main__ import main as rasa

    from bot.engine import runner, webhook

    runner.install()
    webhook.install()

    sys.argv[0] = "rasa"
    rasa()


if __name__ == "__main__":
    main()
