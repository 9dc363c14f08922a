"""Every setting of the service, read once from the environment (prefix `HOTLINE_`).

Ports, paths and keys come from here and nowhere else. `docs/settings.md` documents each; a test fails
when one is missing there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Settings of one deployment. Paths are absolute or relative to the project's root."""

    model_config = SettingsConfigDict(env_prefix="HOTLINE_", extra="ignore")

    host: str = Field("127.0.0.1", description="address the public API listens on")
    port: int = Field(8000, description="public port: chat page and API")
    engine_port: int = Field(5005, description="loopback port of the Rasa engine")
    actions_port: int = Field(5055, description="loopback port of the action webhook")
    engine_url: str = Field("", description="base URL of the engine; empty: 127.0.0.1 and `engine_port`")
    home: Path = Field(Path("var"), description="database, key, logs, process state")
    model: Path = Field(Path("models"), description="folder of trained models, or one model file")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in `home`")
    key: str = Field("", description="base64 of the 32-byte data key; empty: `key_file`")
    key_file: Path = Field(
        Path("data.key"), description="data key, relative to `home`, made on first run with mode 600"
    )
    rate_limits: str = Field("on", pattern="^(on|off)$", description="`off` is for measuring only")
    messages_per_minute: int = Field(30, ge=1, description="messages a conversation may send in a minute")
    conversations_per_minute: int = Field(
        20, ge=1, description="conversations an address may open in a minute"
    )
    engine_timeout: float = Field(
        8.0, gt=0, description="seconds a turn may take before a person is promised"
    )
    allowed_origins: str = Field(
        "", description="comma-separated origins that may embed the chat; empty: same origin only"
    )
    debug: bool = Field(
        False, description="replies carry what the engine understood; for measuring, never in public"
    )
    log_level: str = Field("INFO", description="lowest level that is logged")

    @property
    def home_dir(self) -> Path:
        """The state folder, created if needed."""
        path = self.home if self.home.is_absolute() else ROOT / self.home
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home_dir / 'hotline.db'}"

    @property
    def engine(self) -> str:
        """Base URL of the engine."""
        return self.engine_url or f"http://127.0.0.1:{self.engine_port}"


@lru_cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
