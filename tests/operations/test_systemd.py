"""The systemd units against the program: commands, settings, paths, hardening."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.processes import QUIET, engine_command
from bot.settings import ROOT, Settings

UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
OURS = [path for path in SERVICES if path.name != "hotline-nginx.service"]
SETTINGS = {f"HOTLINE_{name.upper()}" for name in Settings.model_fields}
HARDENED = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes", "RestrictSUIDSGID": "yes", "RestrictNamespaces": "yes", "LockPersonality": "yes",
}  # fmt: skip


class Repeated(dict):
    """A section in which a key may stand more than once, as in a unit file."""

    def __setitem__(self, key, value):
        if key in self and isinstance(value, list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit(path):
    """Section → key → values."""
    parser = configparser.RawConfigParser(
        dict_type=Repeated, strict=False, delimiters="=", comment_prefixes="#"
    )
    parser.optionxform = str
    parser.read_string(path.read_text("utf-8"))
    return {s: {k: v.split("\n") for k, v in parser.items(s)} for s in parser.sections()}


def environment(service):
    """What `Environment=` gives."""
    words = " ".join(service.get("Environment", [])).split()
    return dict(word.split("=", 1) for word in words)


def test_every_unit_is_there():
    assert {path.name for path in UNITS.iterdir()} == {
        "hotline", "hotline.target", "hotline-gateway@.service", "hotline-engine@.service", "hotline-desk.service",
        "hotline-nginx.service", "hotline-backup.service", "hotline-backup.timer", "hotline-retention.service",
        "hotline-retention.timer",
    }  # fmt: skip


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_it_is_hardened(path):
    service = unit(path)["Service"]
    assert {key: service.get(key, [""])[0] for key in HARDENED} == HARDENED
    if path in OURS:
        assert service["CapabilityBoundingSet"] == [""] and service["UMask"] == ["0077"]
        assert service["User"][0] == ("hotline-engine" if "engine" in path.name else "hotline")


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.name)
def test_its_command_and_files_exist_in_a_checkout(path):
    service = unit(path)["Service"]
    assert service["WorkingDirectory"] == ["/opt/hotline"]
    words = service["ExecStart"][0].split()
    assert words[0] in ("/opt/hotline/.venv/bin/python", "/opt/hotline/.venv-engine/bin/python")
    module = words[words.index("-m") + 1]
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
    for word in words:
        if word.startswith("bot/"):
            assert (ROOT / word).is_file()


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.name)
def test_its_settings_exist(path, monkeypatch):
    given = {k: v.replace("%i", "8010") for k, v in environment(unit(path)["Service"]).items()}
    assert {key for key in given if key.startswith("HOTLINE_")} <= SETTINGS
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    config = Settings()
    if "gateway" in path.name:
        assert (config.port, config.actions_port) == (8010, 18010)


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.name)
def test_secrets_come_from_environment_files_and_an_engine_gets_few(path):
    files = unit(path)["Service"]["EnvironmentFile"]
    both = ["/etc/hotline/engine.env", "/etc/hotline/hotline.env"]
    assert files == (both[:1] if "engine" in path.name else both)
    assert not re.search(r"TOKEN|SECRET|PASSWORD", " ".join(environment(unit(path)["Service"])))


def test_no_environment_file_beats_what_a_unit_sets():
    """In systemd a value of `EnvironmentFile=` goes before one of `Environment=`."""
    for name in ("hotline.env.example", "engine.env.example"):
        in_file = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / "deploy" / name).read_text("utf-8"), re.M))
        for path in OURS:
            assert not in_file & set(environment(unit(path)["Service"]))


def test_an_engine_is_started_as_everywhere_else():
    service = unit(UNITS / "hotline-engine@.service")["Service"]
    command = engine_command(Path("/opt/hotline/models/current.tar.gz"), 5005)
    wanted = " ".join(command).replace(str(ROOT), "/opt/hotline").replace("5005", "%i")
    assert service["ExecStart"] == [wanted]
    assert QUIET.items() <= environment(service).items()
    assert environment(service)["TMPDIR"] == f"/var/cache/{service['CacheDirectory'][0]}"


@pytest.mark.parametrize("name", ["backup", "retention"])
def test_a_scheduled_command_is_one_of_ours_and_has_its_timer(name):
    words = unit(UNITS / f"hotline-{name}.service")["Service"]["ExecStart"][0].split()
    arguments = [word for word in words[words.index("bot.cli") + 1 :] if not word.startswith("/")]
    subcommands = [word for word in arguments if not word.startswith("-") and not word.isdigit()]
    helped = CliRunner().invoke(app, [*subcommands, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert helped.exit_code == 0
    assert all(option in helped.output for option in arguments if option.startswith("--"))
    timer = unit(UNITS / f"hotline-{name}.timer")
    assert timer["Timer"]["OnCalendar"][0].endswith("Asia/Shanghai") and timer["Timer"]["Persistent"] == [
        "true"
    ]
    assert timer["Install"]["WantedBy"] == ["hotline.target"]


def test_a_back_up_can_be_written_where_it_is_told_to():
    service = unit(UNITS / "hotline-backup.service")["Service"]
    assert service["ExecStart"][0].split()[-1] == service["ReadWritePaths"][0]


def test_what_serves_is_started_again_and_stops_with_the_target():
    for path in SERVICES:
        if path.name in ("hotline-backup.service", "hotline-retention.service"):
            assert unit(path)["Service"]["Type"] == ["oneshot"]
            continue
        assert unit(path)["Service"]["Restart"] == ["always"]
        assert unit(path)["Unit"]["PartOf"] == ["hotline.target"]
        assert unit(path)["Install"]["WantedBy"] == ["hotline.target"]


def test_systemd_itself_finds_nothing_wrong(tmp_path):
    """Where systemd is installed: with the paths of a deployment put to what is here."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return  # CI has none; the tests above have read the same files.
    for path in UNITS.glob("hotline*.*"):
        text = path.read_text("utf-8").replace("/opt/hotline/docs", str(ROOT / "docs"))
        text = re.sub(r"/opt/hotline/\.venv(-engine)?/bin/python", "/bin/sh", text)
        text = text.replace("/usr/sbin/nginx", "/bin/sh").replace("User=hotline-engine", "User=root")
        text = text.replace("User=hotline", "User=root").replace("Group=hotline-engine", "Group=root")
        (tmp_path / path.name).write_text(text.replace("Group=hotline", "Group=root"), "utf-8")
    for name in ("hotline-gateway@", "hotline-engine@"):
        shutil.copy(tmp_path / f"{name}.service", tmp_path / f"{name}8010.service")
    units = [str(p) for p in tmp_path.iterdir() if "@." not in p.name]
    done = subprocess.run(
        [program, "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    about_ours = [line for line in done.stderr.splitlines() if "hotline" in line]
    assert about_ours == [], done.stderr


def test_the_wrapper_runs_the_command_as_the_service_does():
    text = (UNITS / "hotline").read_text("utf-8")
    assert (UNITS / "hotline").stat().st_mode & 0o111
    for path in ("/etc/hotline/engine.env", "/etc/hotline/hotline.env"):
        assert f". {path}" in text
    gateways = re.findall(r"hotline-gateway@(\d+)", (ROOT / "docs" / "deployment.md").read_text("utf-8"))
    assert f"HOTLINE_PORT:-{gateways[0]}" in text
    assert "runuser -u hotline --" in text and "-m bot.cli" in text
