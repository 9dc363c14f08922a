"""Whatever is installed is what was looked at: every dependency is locked with its hash, and CI installs no other."""

import json
import re

import tomllib

from bot.settings import ROOT

LOCK = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def test_every_python_package_has_hashes():
    packages = [p for p in LOCK["package"] if "virtual" not in p["source"] and "editable" not in p["source"]]
    assert len(packages) > 150
    for package in packages:
        assert set(package["source"]) == {"registry"}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        for file in files:
            assert SHA256.fullmatch(file["hash"]), (package["name"], file)


def test_only_the_project_itself_is_no_package_of_a_registry():
    own = [p["name"] for p in LOCK["package"] if "registry" not in p["source"]]
    assert len(own) <= 1


def test_every_package_of_the_widget_has_an_integrity():
    lock = json.loads((ROOT / "bot" / "widget" / "package-lock.json").read_text("utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert lock["lockfileVersion"] >= 3 and len(packages) > 50
    for name, package in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
        assert not package.get("link"), name


def test_the_commands_that_install_keep_to_the_locks():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [sync] = re.findall(r"^SYNC\s*:?=\s*(.+)$", makefile, re.M)
    assert "--locked" in sync or "--frozen" in sync
    assert re.search(r'"ci"', (ROOT / "bot" / "widget_build.py").read_text("utf-8"))
