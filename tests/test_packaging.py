"""The wheel and the editable install hold every package and data file."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.pyc")


def source_files() -> set[str]:
    """Every file of the package folders, as it must appear in the wheel."""
    return {"/".join([*name.split("."), *path.relative_to(ROOT / folder).parts])
            for name, folder in SETUPTOOLS["package-dir"].items()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


def run(*command, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """A copy of the sources: building writes into the tree."""
    copy = tmp_path_factory.mktemp("sources") / "tree"
    shutil.copytree(ROOT, copy, ignore=NOT_SOURCE, symlinks=True)
    return copy


@pytest.fixture(scope="session")
def wheel(sources, tmp_path_factory) -> Path:
    """The wheel, built from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, sources, cwd=out)
    found, = out.glob("*.whl")
    return found


def install(folder: Path, *arguments) -> Path:
    """Install into a fresh environment that borrows this one's dependencies; return its bin."""
    venv.create(folder, with_pip=False)
    binaries = folder / "bin"
    packages = Path(run(binaries / "python", "-c",
                        "import sysconfig; print(sysconfig.get_path('purelib'))",
                        cwd=folder).strip())
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python",
        binaries / "python", "install", "--no-deps", "--quiet", *arguments, cwd=folder)
    # A folder named in a .pth is searched, but its own .pth files, which make this very
    # installation editable, are not read.
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    return binaries


CHECK = """
import importlib, importlib.resources, sys
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    assert module.__file__.startswith(sys.argv[1]), module.__file__
    assert importlib.resources.files(name).joinpath("py.typed").is_file(), name
"""


def check_installation(binaries: Path, location: Path, cwd: Path) -> None:
    run(binaries / "python", "-c", CHECK, location, *SETUPTOOLS["packages"], cwd=cwd)
    if (ROOT / "systolith/cli.py").is_file():
        version = run(binaries / "systolith", "--version", cwd=cwd)
        assert PROJECT["project"]["version"] in version.split()


def test_every_package_is_listed():
    found = {".".join((name, *init.parent.relative_to(ROOT / folder).parts))
             for name, folder in SETUPTOOLS["package-dir"].items()
             for init in (ROOT / folder).rglob("__init__.py")}
    assert sorted(found) == sorted(SETUPTOOLS["packages"])


def test_every_package_is_typed():
    missing = [init.parent.relative_to(ROOT).as_posix()
               for folder in SETUPTOOLS["package-dir"].values()
               for init in (ROOT / folder).rglob("__init__.py")
               if not (init.parent / "py.typed").is_file()]
    assert missing == []


def test_every_module_is_in_a_package():
    stray = [path.relative_to(ROOT).as_posix()
             for folder in SETUPTOOLS["package-dir"].values()
             for path in (ROOT / folder).rglob("*.py")
             if not (path.parent / "__init__.py").is_file()]
    assert stray == []


def test_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == source_files()


def test_wheel_carries_the_licence(wheel):
    names = {name.rpartition("/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert {"LICENSE", "NOTICE"} <= names


def test_wheel_in_a_fresh_environment(wheel, tmp_path):
    binaries = install(tmp_path / "env", wheel)
    check_installation(binaries, tmp_path / "env", tmp_path)


def test_editable_install_in_a_fresh_environment(sources, tmp_path):
    binaries = install(tmp_path / "env", "--editable", sources)
    check_installation(binaries, sources, tmp_path)
