"""The build of the widget: once, again when a source has changed, with the machine's Node or a fetched one."""

import gzip
import os
import stat

import pytest

from bot import widget_build
from bot.processes import SetupError
from bot.widget_build import build_widget, digest, is_current

NPM = "#!/bin/sh\necho npm $* >> $LOG\n/bin/mkdir -p node_modules/vite/bin\n"
NODE = '#!/bin/sh\nif [ "$1" = --version ]; then echo v%s; exit; fi\necho node $* >> $LOG\n/bin/mkdir -p dist.new\n/bin/cat src/main.tsx > dist.new/widget.js\n'


def program(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A widget of one source line, and a machine with Node 20.19."""
    widget = tmp_path / "widget"
    (widget / "src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src/main.tsx"):
        (widget / name).write_text(f"of {name}")
    monkeypatch.setattr(widget_build, "WIDGET", widget)
    monkeypatch.setattr(widget_build, "DIST", widget / "dist")
    monkeypatch.setattr(widget_build, "NODE_HOME", tmp_path / "node")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    program(tmp_path / "bin", "npm", NPM)
    program(tmp_path / "bin", "node", NODE % "20.19.0")
    return tmp_path


def log(place):
    path = place / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split()[0] for line in lines]


def test_it_is_built_once(place):
    script = build_widget()
    assert script.read_text() == "of src/main.tsx"
    assert gzip.decompress((script.parent / "widget.js.gz").read_bytes()) == script.read_bytes()
    assert log(place) == ["npm", "node"]
    assert build_widget() == script
    assert log(place) == []
    build_widget(force=True)
    assert log(place) == ["node"]


@pytest.mark.parametrize(
    "name", ["src/main.tsx", "src/deep/new.ts", "vite.config.ts", "tsconfig.json", "package.json"]
)
def test_it_is_built_again_when_a_source_has_changed(place, name):
    build_widget()
    log(place)
    before = digest()
    path = place / "widget" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed")
    assert digest() != before and not is_current()
    build_widget()
    assert log(place) == ["node"]


def test_packages_are_fetched_again_when_the_lock_file_has_changed(place):
    build_widget()
    log(place)
    (place / "widget" / "package-lock.json").write_text("changed")
    build_widget()
    assert log(place) == ["npm", "node"]


def test_a_file_without_its_mark_is_not_trusted(place):
    build_widget()
    (place / "widget" / "dist" / "sources.sha256").unlink()
    assert not is_current()


def test_a_failed_build_says_why_and_leaves_the_old_file(place):
    script = build_widget()
    (place / "widget" / "src" / "main.tsx").write_text("changed")
    program(
        place / "bin",
        "node",
        "#!/bin/sh\n[ $1 = --version ] && echo v22.1.0 && exit\necho broken >&2\nexit 3\n",
    )
    with pytest.raises(SetupError, match=r"(?s)could not be built.*broken"):
        build_widget()
    assert script.read_text() == "of src/main.tsx"


def test_packages_that_cannot_be_fetched_are_told(place):
    program(place / "bin", "npm", "#!/bin/sh\necho no network\nexit 1\n")
    with pytest.raises(SetupError, match=r"(?s)npm ci.*no network"):
        build_widget()


def test_a_widget_over_the_budget_is_refused(place):
    (place / "widget" / "src" / "main.tsx").write_bytes(os.urandom(200_000))
    with pytest.raises(SetupError, match="gzipped, more than 130000"):
        build_widget()


@pytest.mark.parametrize("version", ["18.20.0", "20.18.1", None])
def test_an_old_or_missing_node_is_replaced_by_a_fetched_one(place, monkeypatch, version):
    (place / "bin" / "node").unlink()
    if version:
        program(place / "bin", "node", NODE % version)
    fetched = []

    def run(command, environment):
        fetched.append(command[-1])
        program(place / "node" / "bin", "node", NODE % "24.1.0")
        program(place / "node" / "bin", "npm", NPM)

    real = widget_build._run
    monkeypatch.setattr(
        widget_build, "_run", lambda c, e: run(c, e) if "pip" in c or "venv" in c else real(c, e)
    )
    assert build_widget().read_text() == "of src/main.tsx"
    assert fetched == [str(place / "node"), widget_build.NODE_WHEEL]
    log(place)
    build_widget(force=True)
    assert len(fetched) == 2  # fetched once


def test_a_node_that_cannot_be_had_is_told(place, monkeypatch):
    (place / "bin" / "node").unlink()
    monkeypatch.setattr(widget_build, "_run", lambda *_: None)
    with pytest.raises(SetupError, match=r"Node 20\.19"):
        build_widget()


def test_the_lock_file_names_no_registry():
    text = (widget_build.ROOT / "bot" / "widget" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "https://registry" not in text
