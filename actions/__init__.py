"""Thin Rasa actions: they translate between a tracker and `bot.cases`; the rules are there.

The gateway serves them on loopback with rasa-sdk's executor; `python -m rasa_sdk --actions actions` works too.
Only what changes the world or reads cases is an action. Answers need none (docs/adr/0002-composed-answers.md).
"""

from actions.intake import AskIntake, ValidateIntakeForm
from actions.status import CaseStatus

__all__ = ["AskIntake", "CaseStatus", "ValidateIntakeForm"]
