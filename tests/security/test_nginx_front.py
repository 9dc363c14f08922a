"""The real nginx with our template before a gateway: what it keeps out, and that its own answers are fenced in."""

import asyncio
import os
import shutil
import socket
import subprocess
import time

import httpx
import pytest
from fastapi import Request

from bot.channels.headers import CSP
from bot.operations.cluster import free_port
from bot.operations.nginx import render

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")
PATIENCE = 60


@pytest.fixture
async def front(hotline, tmp_path):
    """(a client of nginx, a client of the gateway behind it, nginx' port)."""
    async with hotline.served() as gateway:
        run, port = tmp_path / "nginx", free_port()
        run.mkdir()
        text = render(
            run,
            f"127.0.0.1:{port}",
            gateways=[f"127.0.0.1:{gateway.base_url.port}"],
            actions=[f"127.0.0.1:{free_port()}"],
            actions_port=free_port(),
        )
        # Shorter than in a deployment, so that the test ends.
        text = text.replace("client_header_timeout 10s", "client_header_timeout 2s").replace(
            "client_body_timeout 10s", "client_body_timeout 2s"
        )
        path = run / "nginx.conf"
        path.write_text(("user root;\n" if os.geteuid() == 0 else "") + text, "utf-8")
        command = [NGINX, "-p", str(run), "-e", str(run / "error.log"), "-c", str(path), "-g", "daemon off;"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.05)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE
            ) as http:
                yield http, gateway, port
        finally:
            process.terminate()
            process.wait()


async def test_answers_of_the_gateway_pass_as_they_are_and_nginx_own_are_fenced_in(front):
    http, _, _ = front
    through = await http.get("/")
    own = [
        await http.get("/metrics"),
        await http.get("/api/v1/cases"),
        await http.post("/api/v1/conversations", content=b"x" * 70_000),
        await http.get("/", headers={"X-Long": "a" * 9000}),
    ]
    assert [response.status_code for response in (through, *own)] == [200, 404, 404, 413, 400]
    assert through.headers.get_list("content-security-policy") == [CSP]
    for response in own:
        assert response.headers.get_list("content-security-policy") == [
            "default-src 'none'; frame-ancestors 'none'"
        ]
        assert response.headers.get_list("cache-control") == ["no-store"]
    for response in (through, *own):
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]
        assert response.headers.get_list("x-frame-options") == ["DENY"]
        assert response.headers["server"] == "nginx"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "//metrics", "/%6detrics", "/./metrics", "/x/../metrics", "/metrics/", "/metrics?x=/", "/api/v1/cases", "/api/v1//cases",
     "/api/v1/copilot/suggest", "/api/v1/queue", "/api/v1/staff", "/api/v1/switches", "/api/v1/reviews", "/api/v1/audit"],
)  # fmt: skip
async def test_inner_places_are_not_there(front, path):
    _, _, port = front
    # By hand: the client would tidy the path up.
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert read(raw).startswith(b"HTTP/1.1 404")


def read(raw):
    got = b""
    while piece := raw.recv(65536):
        got += piece
    return got


@pytest.mark.parametrize(
    "piece",
    [
        b"GET / HTTP/1.1\r\nX-",
        b"POST /api/v1/conversations HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["head", "body"],
)
async def test_slow_clients_are_closed(front, piece):
    _, _, port = front

    def wait():
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
            raw.sendall(piece)
            try:
                return read(raw)
            except ConnectionResetError:
                return b""

    got = await asyncio.to_thread(wait)
    assert got == b"" or got.startswith(b"HTTP/1.1 408")


async def test_a_client_cannot_choose_its_address(front, hotline):
    """`X-Forwarded-For` that comes from outside is thrown away: limits count the real one."""
    http, _, _ = front
    seen = []

    @hotline.app.get("/seen")
    async def seen_as(request: Request):
        seen.append((request.headers["x-forwarded-for"], request.headers["x-real-ip"]))
        return {}

    await http.get(
        "/seen",
        headers={
            "X-Forwarded-For": "203.0.113.9",
            "X-Real-IP": "203.0.113.9",
            "Forwarded": "for=203.0.113.9",
        },
    )
    assert seen == [("127.0.0.1", "127.0.0.1")]
