"""nginx's configuration: one template, rendered for `make cluster` and, with TLS and the desk, for a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.settings import ROOT

TEMPLATE = ROOT / "deploy" / "nginx" / "hotline.conf.template"


@dataclass(frozen=True)
class Tls:
    """A certificate (with its chain) and its key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Desk:
    """The duty desk: the internal address that staff open, and where the process listens."""

    listen: str
    at: str


def _listen(address: str, tls: Tls | None) -> str:
    lines = [f"listen {address}{' ssl http2' if tls else ''};"]
    if tls:
        lines += [
            f"ssl_certificate {tls.certificate};",
            f"ssl_certificate_key {tls.key};",
            "ssl_protocols TLSv1.2 TLSv1.3;",
            "ssl_session_cache shared:tls:10m;",
            "ssl_session_tickets off;",
        ]
    return "\n".join(f"    {line}" for line in lines)


def _desk(desk: Desk | None, tls: Tls | None) -> str:
    if desk is None:
        return ""
    return f"""  # Staff only: an internal address, never the citizens'. Pages hold a websocket.
  server {{
{_listen(desk.listen, tls)}
    client_max_body_size 1m;
    location / {{
      proxy_pass http://{desk.at};
      # The desk compares the page's Origin with the host it was asked for, port and all.
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $desk_connection;
      proxy_read_timeout 1h;
    }}
  }}
  map $http_upgrade $desk_connection {{ default upgrade; "" ""; }}
"""


def _servers(addresses: Sequence[str]) -> str:
    # Never marked as down: a refused connection costs nothing, and the other one may be the next to stop.
    return "\n".join(f"    server {address} max_fails=0;" for address in addresses)


def render(
    run: Path,
    listen: str,
    *,
    gateways: Sequence[str],
    actions: Sequence[str],
    actions_port: int,
    tls: Tls | None = None,
    desk: Desk | None = None,
) -> str:
    """The configuration. `run` is a folder for the pid and temporary files; addresses are `host:port`."""
    text = TEMPLATE.read_text("utf-8")
    for name, value in {
        "RUN": str(run),
        "LISTEN": _listen(listen, tls),
        "GATEWAYS": _servers(gateways),
        "ACTIONS": _servers(actions),
        "ACTIONS_PORT": str(actions_port),
        "DESK": _desk(desk, tls),
    }.items():
        text = text.replace(f"@@{name}@@", value)
    return text
