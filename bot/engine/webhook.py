"""Checks what the action webhook answers against Rasa's own schema, with a validator that is made once.

Rasa makes one for every answer and first checks the schema itself: tens of milliseconds, more than half of a turn of an
intake.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for
from rasa.core.actions.action import RemoteAction


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = RemoteAction.action_response_format_spec()
    kind = validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def check(result: dict[str, Any]) -> bool:
    """True for an answer of Rasa's form. Raises `jsonschema.ValidationError` for any other."""
    error = best_match(_validator().iter_errors(result))
    if error is not None:
        error.message += ". The action webhook answered something that is no answer of an action."
        raise error
    return True


def install() -> None:
    """Let Rasa's remote actions use it."""
    RemoteAction._validate_action_result = lambda _, result: check(result)
