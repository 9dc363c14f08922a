"""The real processes, as the end-to-end tests have them."""

from tests.e2e.conftest import deployment, instance, logged

__all__ = ["deployment", "instance", "logged"]
