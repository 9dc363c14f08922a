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

    # A refused value is not printed: it may be a key.
    model_config = SettingsConfigDict(env_prefix="HOTLINE_", extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="address the public API listens on")
    port: int = Field(8000, description="public port: chat page and API")
    engine_port: int = Field(5005, description="loopback port of the Rasa engine")
    actions_port: int = Field(5055, description="loopback port of the action webhook")
    engine_url: str = Field(
        "", description="base URLs of the engines, separated by commas; empty: 127.0.0.1 and `engine_port`"
    )
    redis_url: str = Field(
        "",
        repr=False,
        description="Redis for rate limits that several gateways share; empty: each counts for itself",
    )
    behind_proxy: bool = Field(
        False, description="believe X-Forwarded-For of a proxy on this machine; never without one"
    )
    home: Path = Field(Path("var"), description="database, key, logs, process state")
    model: Path = Field(Path("models"), description="folder of trained models, or one model file")
    database_url: str = Field("", repr=False, description="SQLAlchemy URL; empty: SQLite in `home`")
    key: str = Field("", repr=False, description="base64 of the 32-byte data key; empty: `key_file`")
    key_file: Path = Field(
        Path("data.key"), description="data key, relative to `home`, made on first run with mode 600"
    )
    rate_limits: str = Field("on", pattern="^(on|off)$", description="`off` is for measuring only")
    messages_per_minute: int = Field(30, ge=1, description="messages a conversation may send in a minute")
    conversations_per_minute: int = Field(
        20, ge=1, description="conversations an address may open in a minute"
    )
    requests_per_minute: int = Field(
        1200, ge=1, description="requests of any kind that an address may make in a minute, at one gateway"
    )
    connections_per_address: int = Field(
        300, ge=1, description="connections that an address may hold at one gateway"
    )
    token_hours: int = Field(
        72,
        ge=1,
        le=720,
        description="a citizen's session token is good for this long; it is renewed while in use",
    )
    engine_timeout: float = Field(
        8.0, gt=0, description="seconds a turn may take before a person is promised"
    )
    call_back_minutes: int = Field(
        30, ge=5, le=24 * 60, description="minutes within which a promised call-back (回电) is made"
    )
    desk: str = Field("on", pattern="^(on|off)$", description="`off`: `hotline up` starts no desk")
    desk_host: str = Field("127.0.0.1", description="address the desk listens on; never a public one")
    desk_port: int = Field(8001, description="port of the duty desk, for staff only")
    desk_cookie_secure: bool = Field(
        False, description="send the log-in cookie over HTTPS only; on behind a TLS proxy"
    )
    desk_session_idle_minutes: int = Field(60, ge=5, description="a page log-in ends after this long unused")
    desk_session_hours: int = Field(12, ge=1, le=24, description="a log-in ends after this long in any case")
    desk_totp: str = Field(
        "optional", pattern="^(optional|required)$", description="`required`: nobody works without TOTP"
    )
    shift_starts: str = Field(
        "08:00,16:00,00:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d,([01]\d|2[0-3]):[0-5]\d,([01]\d|2[0-3]):[0-5]\d$",
        description="when 早, 中 and 夜 begin, in Jilin's time",
    )
    climb_urgent_seconds: int = Field(
        120, ge=10, description="an urgent hand-over climbs to the next post after this long"
    )
    climb_seconds: int = Field(
        180, ge=10, description="any other hand-over climbs to the next post after this long"
    )
    silent_owner_minutes: int = Field(
        10, ge=1, description="an agent silent for this long loses the conversation while the citizen waits"
    )
    retention_case_days: int = Field(
        1095, ge=180, description="personal data of a case is erased this long after it was closed"
    )
    retention_conversation_days: int = Field(
        180,
        ge=30,
        description="a conversation without an open case is erased this long after its last message",
    )
    retention_draft_days: int = Field(
        30, ge=1, description="an intake that was never finished is erased after this long"
    )
    retention_audit_days: int = Field(
        1095, ge=184, description="audit entries are pruned after this long; never under six months"
    )
    attachment_bytes: int = Field(
        5 * 1024 * 1024, ge=1024, description="largest picture or PDF that a citizen may give, in bytes"
    )
    attachments_per_conversation: int = Field(10, ge=0, description="files that a conversation may give")
    departments: Path = Field(
        Path("departments.yml"),
        description="how departments are reached, relative to `home`; missing: pushes go to a log file",
    )
    allowed_origins: str = Field(
        "", description="comma-separated origins that may embed the chat; empty: same origin only"
    )
    debug: bool = Field(
        False, description="replies carry what the engine understood; for measuring, never in public"
    )
    sms_gateway: str = Field(
        "",
        pattern="^(kannel|json|console)?$",
        description="SMS gateway; empty: no SMS; console: prints, for development",
    )
    sms_url: str = Field(
        "", description="where SMS are sent: Kannel's sendsms, or the provider's JSON endpoint"
    )
    sms_user: str = Field("", description="user of Kannel's sendsms")
    sms_password: str = Field("", repr=False, description="password of Kannel's sendsms")
    sms_secret: str = Field(
        "",
        repr=False,
        description="what the gateway proves itself with: Kannel's `key`, or the HMAC key of the JSON gateway",
    )
    sms_from: str = Field("12315", description="number that SMS are sent from")
    sms_signature: str = Field(
        "吉林12315", max_length=20, description="registered signature (签名); stands in 【】 before every SMS"
    )
    sms_per_minute: int = Field(
        3, ge=1, description="SMS a number may send in a minute over time; five times as many at once"
    )
    callback_url: str = Field(
        "", description="base URL under which a gateway reaches this service; empty: 127.0.0.1 and `port`"
    )
    quiet_hours: str = Field(
        "21:00-08:00",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        description="local time without notices (免打扰); answers go out at any time; empty: none",
    )
    wechat_token: str = Field(
        "", repr=False, description="token of the WeChat official account; empty: no WeChat"
    )
    wechat_app_id: str = Field("", description="AppID of the official account")
    wechat_app_secret: str = Field("", repr=False, description="AppSecret, for customer-service messages")
    wechat_aes_key: str = Field(
        "",
        repr=False,
        pattern="^([A-Za-z0-9]{43})?$",
        description="EncodingAESKey; empty: plain mode (明文模式)",
    )
    wechat_api_url: str = Field(
        "https://api.weixin.qq.com", description="WeChat's API; a simulator's address in tests"
    )
    log_level: str = Field("INFO", description="lowest level that is logged")

    @property
    def home_dir(self) -> Path:
        """The state folder, created if needed."""
        path = self.home if self.home.is_absolute() else ROOT / self.home
        # Others may pass through (PostgreSQL's own user does), and neither list nor read.
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        return path

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home_dir / 'hotline.db'}"

    @property
    def engine(self) -> str:
        """Base URLs of the engines, separated by commas."""
        return self.engine_url or f"http://127.0.0.1:{self.engine_port}"


@lru_cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
