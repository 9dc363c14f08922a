"""deploy/compose.yml and its images against the program: settings, commands, ports, networks, files.

No Docker engine runs here or in CI, so that what can be checked without one is checked: an unknown setting, a wrong
command or an open port would otherwise be found by an operator.
"""

import re
import shlex

import pytest
import tomllib
import yaml

from bot.processes import QUIET, engine_command
from bot.settings import ROOT, Settings

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("hotline-")}
DOCKERFILES = sorted((DEPLOY / "docker").glob("*.Dockerfile"))
OF_PROCESSES = {"HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_TOKEN", "HOTLINE_ACTIONS_URL"}
SETTINGS = {f"HOTLINE_{name.upper()}" for name in Settings.model_fields} | OF_PROCESSES


def variables(path):
    """Names and values of an environment file; a commented-out setting counts."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", path.read_text("utf-8"), re.M))


def test_it_is_all_there():
    def count(command):
        return sum(command in " ".join(map(str, s.get("command", []))) for s in SERVICES.values())

    assert count("bot.engine.serve") == count("bot.channels.serve") == 2 and count("bot.desk.serve") == 1
    assert {"postgres", "redis", "nginx", "backup", "retention", "migrate"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_exists_and_its_value_is_taken(name, monkeypatch):
    given = {k: v for k, v in SERVICES[name].get("environment", {}).items() if k.startswith("HOTLINE_")}
    assert set(given) <= SETTINGS
    for key, value in given.items():
        assert isinstance(value, str), f"{key} of {name}: YAML would make it something else"
        monkeypatch.setenv(key, value)
    if name in OURS:
        monkeypatch.setenv("HOTLINE_HOME", "/tmp")
        Settings()


@pytest.mark.parametrize("name", ["hotline.env.example", "engine.env.example"])
def test_the_examples_of_environment_files_hold_known_settings(name, monkeypatch):
    found = variables(DEPLOY / name)
    assert {key for key in found if key != "PGPASSFILE"} <= SETTINGS
    for key, value in found.items():
        assert " " not in value and '"' not in value, "shell and systemd read such a value differently"
        if value:
            monkeypatch.setenv(key, value)
    Settings()


def test_an_engine_is_told_its_token_and_where_to_call_back_and_nothing_else():
    assert set(variables(DEPLOY / "engine.env.example")) == {"HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_URL"}
    for name in ("engine-1", "engine-2"):
        engine = SERVICES[name]
        assert engine["env_file"] == ["engine.env"]
        assert not {"secrets", "volumes", "environment"} & set(engine)


def test_gateways_desk_and_engines_share_the_tokens():
    for name in ("gateway-1", "gateway-2", "desk"):
        assert set(SERVICES[name]["env_file"]) == {"engine.env", "hotline.env"}


@pytest.mark.parametrize(("name", "port"), [("engine-1", 5005), ("engine-2", 5006)])
def test_an_engine_is_started_as_everywhere_else(name, port):
    from pathlib import Path

    command = engine_command(Path("/opt/hotline/models/current.tar.gz"), port)
    assert SERVICES[name]["command"] == [command[0].replace(str(ROOT), "/opt/hotline"), *command[1:]]
    assert f":{port}/" in str(SERVICES[name]["healthcheck"]["test"])


def test_engines_keep_to_their_threads():
    text = (DEPLOY / "docker" / "engine.Dockerfile").read_text("utf-8")
    final = text.rsplit("FROM ", 1)[1].replace("\\\n", " ")
    given = dict(
        part.split("=", 1) for line in re.findall(r"^ENV (.*)$", final, re.M) for part in line.split()
    )
    assert QUIET.items() <= given.items()


def test_only_nginx_can_be_reached_and_the_desk_from_inside_only():
    publishing = {name: s["ports"] for name, s in SERVICES.items() if s.get("ports")}
    assert set(publishing) == {"net"}  # whose network nginx uses, see below
    assert publishing["net"] == ["443:8443", "${HOTLINE_DESK_ADDRESS:-127.0.0.1}:9443:9443"]
    rendered = " ".join(SERVICES["nginx-conf"]["command"])
    assert "--listen 0.0.0.0:8443" in rendered and "--desk-listen 0.0.0.0:9443" in rendered
    # Whatever else listens in that network does so on loopback.
    for name, service in SERVICES.items():
        if service.get("network_mode") == "service:net" and name != "nginx":
            environment = service.get("environment", {})
            assert environment.get("HOTLINE_HOST", "127.0.0.1") == "127.0.0.1"
            assert environment.get("HOTLINE_DESK_HOST", "127.0.0.1") == "127.0.0.1"
            assert "0.0.0.0" not in str(service.get("command"))


def test_database_and_redis_have_no_way_out():
    assert COMPOSE["networks"]["data"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["data"] and "network_mode" not in SERVICES[name]


def test_nginx_knows_the_ports_of_the_processes():
    command = shlex.split(SERVICES["nginx-conf"]["command"][2])

    def given(option):
        return [command[i + 1] for i, word in enumerate(command) if word == option]

    gateways = [SERVICES[f"gateway-{n}"]["environment"] for n in (1, 2)]
    assert given("--gateway") == [f"127.0.0.1:{g['HOTLINE_PORT']}" for g in gateways]
    assert given("--actions") == [f"127.0.0.1:{g['HOTLINE_ACTIONS_PORT']}" for g in gateways]
    assert given("--desk") == [f"127.0.0.1:{SERVICES['desk']['environment']['HOTLINE_DESK_PORT']}"]
    assert (
        f":{given('--actions-port')[0]}/webhook/"
        in variables(DEPLOY / "engine.env.example")["HOTLINE_ACTIONS_URL"]
    )
    engines = SERVICES["gateway-1"]["environment"]["HOTLINE_ENGINE_URL"].split(",")
    ports = [
        SERVICES[f"engine-{n}"]["command"][SERVICES[f"engine-{n}"]["command"].index("--port") + 1]
        for n in (1, 2)
    ]
    assert engines == [f"http://127.0.0.1:{port}" for port in ports]


def test_images_are_pinned():
    images = {s["image"] for s in SERVICES.values() if not s["image"].startswith("hotline-")}
    for path in DOCKERFILES:
        images |= {i for i in re.findall(r"^FROM (\S+)", path.read_text("utf-8"), re.M)}
    assert len(images) == 5
    for image in images:
        name, _, tag = image.partition(":")
        # No registry's host in front, and a whole version behind.
        assert "/" not in name and re.fullmatch(r"\d+\.\d+(\.\d+)?-(slim-)?bookworm", tag), image


def test_pg_dump_is_of_the_servers_version():
    major = SERVICES["postgres"]["image"].split(":")[1].split(".")[0]
    assert f"postgresql-client-{major}" in (DEPLOY / "docker" / "service.Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_closed_down(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert "privileged" not in service and "docker.sock" not in str(service)
    assert service["restart"] == (
        "no" if name in ("migrate", "nginx-conf", "backup", "retention") else "unless-stopped"
    )


def test_who_serves_is_looked_at():
    for name, service in SERVICES.items():
        if service["restart"] == "no" or name == "net":
            assert service["healthcheck"] == {"disable": True}
        elif not name.startswith("gateway"):  # whose look stands in the image
            assert service["healthcheck"]["test"][0] == "CMD"
    assert "HEALTHCHECK" in (DEPLOY / "docker" / "service.Dockerfile").read_text("utf-8")


def test_volumes_secrets_and_files_are_known():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for path in service.get("env_file", []):
            assert (DEPLOY / f"{path}.example").is_file()
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES
    # Secrets are files outside of the repository.
    ignored = (DEPLOY / ".gitignore").read_text("utf-8").split()
    assert (
        all(s["file"].startswith("secrets/") for s in COMPOSE["secrets"].values()) and "secrets/" in ignored
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.name)
def test_an_image_is_built_from_the_lock_and_runs_as_nobody_special(path):
    text = path.read_text("utf-8")
    assert "uv sync --frozen" in text.replace("\\\n", " ") and "COPY pyproject.toml uv.lock" in text
    final = text.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER \d{5}:\d{5}$", final, re.M)
    stage = text.split("FROM ")[1]
    for source in re.findall(r"^COPY (?!--from)(.*)$", stage, re.M):
        for name in source.split()[:-1]:
            assert (ROOT / name).exists(), name
            top = name.split("/")[0]
            allowed = (ROOT / ".dockerignore").read_text("utf-8").split()
            assert f"!{top}" in allowed or f"!{name.rstrip('/')}" in allowed, (
                f"{name} is not sent to the builder"
            )
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"uv=={re.search(r'^UV_VERSION := (.*)$', makefile, re.M)[1]}" in text
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["dependency-groups"]
    group = path.name.split(".")[0]
    version = re.search(r"^FROM python:(\d+)\.(\d+)", text, re.M)
    assert f"--only-group {group}" in text.replace("\\\n", " ")
    assert (int(version[1]), int(version[2])) == {"engine": (3, 10), "service": (3, 11)}[group]
    assert wanted[group]["requires-python"].startswith(f">={version[1]}.{version[2]}")


def test_the_images_hold_no_state_and_no_key():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    assert "*" in ignored
    assert not [
        line for line in ignored if line.startswith("!") and re.search(r"var|env|secret|\.key|models", line)
    ]


DOCUMENT = (ROOT / "docs" / "deployment.md").read_text("utf-8")


def test_the_document_names_only_what_there_is():
    for path in re.findall(r"\bdeploy/[\w./@*-]+", DOCUMENT):
        assert list(ROOT.glob(path.rstrip("."))), path
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", DOCUMENT):
        assert (ROOT / "docs" / link).is_file(), link
    named = set(re.findall(r"\bHOTLINE_[A-Z_]+[A-Z]", DOCUMENT))
    assert named <= SETTINGS | {"HOTLINE_DESK_ADDRESS"}
    known = {*SERVICES, *(path.name.split(".")[0].rstrip("@") for path in (DEPLOY / "systemd").iterdir())}
    assert {
        unit.rstrip("@")
        for unit in re.findall(r"\bhotline-(?:gateway|engine|desk|nginx|backup|retention)@?", DOCUMENT)
    } <= known


def test_every_command_of_the_document_exists():
    from typer.testing import CliRunner

    from bot.cli import app

    found = set(
        re.findall(r"(?:^|&& |\./)hotline ([a-z][a-z -]*?)(?= +[#</*—-]| \d|$| &&| admin)", DOCUMENT, re.M)
    )
    assert {"db upgrade", "staff add", "backup", "restore", "doctor", "audit verify"} <= found
    for command in found:
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command
