"""nginx's configuration as it is rendered for a deployment, read and run by a real nginx."""

import datetime
import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from bot.cli import app
from bot.operations.cluster import free_port
from bot.operations.nginx import Desk, Tls, render

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate for localhost that nobody else trusts."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    made = Tls(folder / "tls.crt", folder / "tls.key")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked and by which name."""

    def do_GET(self):
        data = json.dumps({"path": self.path, "at": self.server.server_address[1], **{k.lower(): v for k, v in self.headers.items()}}).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo():
    """Two upstreams: the ports of a gateway and of the desk."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def deployment_ports(tmp_path_factory, tls, echo):
    """A running nginx with TLS and the desk: (port of citizens, port of staff)."""
    run = tmp_path_factory.mktemp("nginx")
    citizens, staff, actions = free_port(), free_port(), free_port()
    text = render(
        run, f"127.0.0.1:{citizens}", gateways=[f"127.0.0.1:{echo[0]}"], actions=[f"127.0.0.1:{echo[0]}"],
        actions_port=actions, tls=tls, desk=Desk(f"127.0.0.1:{staff}", f"127.0.0.1:{echo[1]}"),
    )  # fmt: skip
    path = run / "nginx.conf"
    path.write_text(("user root;\n" if os.geteuid() == 0 else "") + text)
    command = [NGINX, "-e", str(run / "error.log"), "-p", str(run), "-c", str(path)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"https://localhost:{citizens}/", verify=context(tls), trust_env=False)
            break
        except httpx.HTTPError:
            assert time.monotonic() < deadline and process.poll() is None, (run / "error.log").read_text()
            time.sleep(0.1)
    yield citizens, staff
    process.terminate()
    process.wait(30)


def context(tls):
    return ssl.create_default_context(cafile=str(tls.certificate))


def get(tls, port, path, **headers):
    return httpx.get(
        f"https://localhost:{port}{path}", headers=headers, verify=context(tls), trust_env=False, timeout=30
    )


PATHS = [
    "/",
    "/api/v1/conversations/x/events",
    "/api/v1/conversations/x/attachments",
    "/api/v1/conversations",
]


@pytest.mark.parametrize("path", PATHS)
def test_what_a_client_claims_about_its_address_is_thrown_away(deployment_ports, tls, echo, path):
    claimed = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Forwarded-Proto": "http"}
    seen = get(tls, deployment_ports[0], path, **claimed).json()
    assert seen["at"] == echo[0]
    assert (seen["x-forwarded-for"], seen["x-real-ip"], seen["x-forwarded-proto"]) == (
        "127.0.0.1", "127.0.0.1", "https",
    )  # fmt: skip
    assert seen["host"] == "localhost" and seen.get("connection", "") != "close"


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/cases", "/api/v1/queue", "/api/v1/staff/x"])
def test_the_desks_calls_do_not_exist_outside(deployment_ports, tls, path):
    assert get(tls, deployment_ports[0], path).status_code == 404


def test_the_desk_has_a_door_of_its_own_with_websockets(deployment_ports, tls, echo):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    seen = get(tls, deployment_ports[1], "/_nicegui_ws/socket.io/", **headers).json()
    assert (seen["at"], seen["upgrade"], seen["connection"]) == (echo[1], "websocket", "upgrade")
    # What the desk compares a page's Origin with.
    assert seen["host"] == f"localhost:{deployment_ports[1]}"
    assert "connection" not in get(tls, deployment_ports[1], "/").json()


def test_without_tls_a_browser_is_not_answered_as_if(deployment_ports):
    answer = httpx.get(f"http://127.0.0.1:{deployment_ports[0]}/", trust_env=False)
    assert answer.status_code == 400


def test_the_command_prints_what_nginx_reads(tls, tmp_path):
    arguments = [
        "nginx", "--gateway", "127.0.0.1:8010", "--gateway", "127.0.0.1:8011", "--actions", "127.0.0.1:18010",
        "--certificate", str(tls.certificate), "--certificate-key", str(tls.key),
        "--desk-listen", "127.0.0.1:9443", "--listen", "127.0.0.1:8443", "--run", str(tmp_path),
    ]  # fmt: skip
    printed = CliRunner().invoke(app, arguments)
    assert printed.exit_code == 0, printed.output
    assert "@@" not in printed.output.replace("@@…@@", "")
    path = Path(tmp_path / "nginx.conf")
    path.write_text(printed.output)
    command = [NGINX, "-t", "-e", str(tmp_path / "error.log"), "-c", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_certificate_without_its_key_is_told():
    arguments = ["nginx", "--gateway", "a:1", "--actions", "a:2", "--certificate", "/x"]
    assert CliRunner().invoke(app, arguments).exit_code == 2
