"""What tests stand on: the sample, built once, and a small platform, built per test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from etl_assets.demo import sample
from etl_assets.settings import Settings
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.servers import MariaDBServer, ensure_packages
from etl_assets_tests.small import Small

pytest_plugins = ["etl_assets_tests.standins.fixtures"]

# The same examples every time: what fails once fails again. No deadline: machines differ.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("same")

_FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--chaos=long`, the form of chaos/ that leaves nothing out, and `--pictures`."""
    parser.addoption("--chaos", choices=["short", "long"], default="short", help="form of chaos/")
    parser.addoption("--pictures", action="store_true", help="browser/ renews docs/images")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count what chaos does."""
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what chaos did."""
    if lines := config.stash[_FIGURES].lines():
        terminalreporter.section(f"chaos, {config.getoption('--chaos')} form")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """What is counted here is shown at the end of the run."""
    return pytestconfig.stash[_FIGURES]


@pytest.fixture(scope="session")
def long_form(pytestconfig: pytest.Config) -> bool:
    """Whether chaos leaves nothing out."""
    return bool(pytestconfig.getoption("--chaos") == "long")


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole sample: `source.sqlite` and `registry`. Not to be written."""
    home = tmp_path_factory.mktemp("sample")
    sample.build_source(home / "source.sqlite")
    sample.build_registry(home / "registry")
    return home


@pytest.fixture
def settings(sample_home: Path, tmp_path: Path) -> Settings:
    """Settings over the sample's source, with a home and a copy of the registry of its own."""
    home = tmp_path / "home"
    shutil.copytree(sample_home / "registry", home / "registry")
    return Settings(home=home, source_url=f"sqlite:///{sample_home}/source.sqlite")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A small platform whose documents and source a test can write."""
    return Small(tmp_path / "small").build()


@pytest.fixture
def small_settings(small: Small) -> Settings:
    """Settings over a small platform, as it was built."""
    return small.settings()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """A MariaDB server of this test run; tests share it, so each makes tables of its own."""
    ensure_packages("mariadbd", "mariadb-install-db")
    with MariaDBServer() as server:
        yield server
