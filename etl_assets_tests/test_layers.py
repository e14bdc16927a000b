"""The fences between the layers: without a test they fall with the first hurried import."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import etl_assets

PACKAGE = Path(etl_assets.__file__).parent
STANDARD = set(sys.stdlib_module_names)
CORE_MAY = {"pydantic", "pydantic_core", "yaml", "babel", "sqlglot", "pyarrow", "etl_assets.core"}
SYSTEMS_MAY = {"etl_assets.core", "etl_assets.systems"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def imports(source: str) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{n.name}" for n in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("__import__", "import_module"):
                yield f"<{called}>"


def within(name: str, packages: Iterable[str]) -> bool:
    """Return whether a name is one of the packages or below one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def core_violations(source: str) -> list[str]:
    """Return what a module of core may not import, and the clocks and environment it reads."""
    wrong = [name for name in imports(source) if not within(name, CORE_MAY | STANDARD)]
    impure = {"os", "time", "socket", "subprocess", "pathlib", "random", "secrets", "sqlite3"}
    wrong += [name for name in imports(source) if within(name, impure)]
    clocks = {"now", "today", "utcnow", "open"}
    return wrong + [name for name in used(source) if name in clocks]


def systems_violations(source: str) -> list[str]:
    """Return what a module of systems may not import."""
    return [
        name
        for name in imports(source)
        if name.startswith((".", "<", "dagster"))
        or (within(name, ["etl_assets"]) and not within(name, SYSTEMS_MAY))
    ]


def environment_violations(source: str) -> list[str]:
    """Return the names by which a module reads the environment.

    To hand it on whole to a child process, as `{**os.environ, …}`, is not to read it.
    """
    handed_on = [
        value.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if key is None and isinstance(value, ast.Attribute) and value.attr == "environ"
    ]
    return [name for name in used(source) if name in ENVIRONMENT][len(handed_on) :]


def used(source: str) -> Iterator[str]:
    """Yield every name and attribute that a module uses or imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (name.name for name in node.names)


def modules(folder: str) -> list[Path]:
    found = sorted((PACKAGE / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", modules("core"), ids=lambda path: path.name)
def test_core_imports_only_what_is_pure(path: Path) -> None:
    assert core_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules("systems"), ids=lambda path: path.name)
def test_systems_know_neither_dagster_nor_the_modules_above_them(path: Path) -> None:
    assert systems_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "path",
    [path for path in modules("") if path.name != "settings.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_but_the_settings_reads_the_environment(path: Path) -> None:
    assert environment_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import duckdb",
        "import sqlite3",
        "import os",
        "from pathlib import Path",
        "import dagster as dg",
        "from etl_assets.systems.staging import FileStaging",
        "from etl_assets import settings",
        "import etl_assets",
        "from . import rules",
        "def f():\n    import boto3",
        "__import__('duckdb')",
        "import importlib\nimportlib.import_module('duckdb')",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "import datetime as dt\ndt.date.today()",
        "open('/etc/passwd')",
    ],
)
def test_the_fence_around_core_fires(planted: str) -> None:
    assert core_violations(planted)


@pytest.mark.parametrize(
    "planted",
    [
        "import dagster",
        "from dagster import asset",
        "import dagster_aws.s3",
        "from etl_assets.loading import load",
        "from etl_assets import settings",
        "import etl_assets.settings",
        "def f():\n    from etl_assets.assets import build",
        "from ..settings import Settings",
        "import importlib\nimportlib.import_module('dagster')",
    ],
)
def test_the_fence_around_systems_fires(planted: str) -> None:
    assert systems_violations(planted)


@pytest.mark.parametrize(
    "planted",
    [
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "import os\nrun({**os.environ, 'A': os.environ['B']})",
        "from os import environ",
        "from os import getenv as g",
    ],
)
def test_the_fence_around_the_environment_fires(planted: str) -> None:
    assert environment_violations(planted)


def test_the_fences_let_pass_what_is_allowed() -> None:
    allowed = (
        "import datetime as dt\nimport sqlglot\nfrom sqlglot import exp\nimport pyarrow as pa\n"
        "from etl_assets.core.rules.rule_set import Rule\nfrom pydantic import BaseModel\nimport yaml\n"
    )
    assert core_violations(allowed) == []
    assert systems_violations(allowed + "import duckdb\nimport os\n") == []
    assert environment_violations("import os\nos.scandir('.')\n") == []
    assert environment_violations("import os\nrun({**os.environ, 'A': 'b'})\n") == []


_IMPORT = """
import sys
events = []
before = set(sys.modules)
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
import etl_assets
watched = ("open", "os.listdir", "os.mkdir", "socket.connect", "sqlite3.connect", "subprocess.Popen")
print(sorted(set(sys.modules) - before))
print([e for e in events if e[0] in watched and not str(e[1][0]).endswith((".py", ".pyc"))
       and e[0] != "os.listdir"])
"""


def test_importing_the_package_imports_nothing_else_and_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == ["['etl_assets']", "[]"]
    assert list(tmp_path.iterdir()) == []
