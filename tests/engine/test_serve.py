"""What `bot.engine.serve` leaves out must not be missed."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from bot.engine.serve import leave_out_jax
leave_out_jax()
import tensorflow, rasa.core.run, rasa.core.policies.rule_policy
print(sys.modules["jax"], [name for name in sys.modules if name.startswith("jax")], tensorflow.constant(1).numpy())
"""


def test_rasa_and_tensorflow_load_without_jax() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout.splitlines()[-1:] == ["None ['jax'] 1"], done.stderr[-800:]
