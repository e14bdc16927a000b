"""What the environment may say, and what is refused.

At risk: a password in the UI and in every log, and a mistyped variable that is silently the
default.
"""

from pathlib import Path

import pytest

from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.settings import VARIABLES, Settings
from etl_assets_tests.small import DATASET, Small


def test_without_variables_everything_is_below_var() -> None:
    settings = Settings.from_environment({})
    home = Path("var").absolute()
    assert settings.home == home
    assert settings.registry_url == f"file:{home}/registry"
    assert settings.source_url == f"sqlite:///{home}/source.sqlite"
    assert settings.staging_url == f"file:{home}/staging"
    assert settings.warehouse_url == f"duckdb:///{home}/warehouse.duckdb"
    assert settings.dagster_home == home / "dagster"
    assert (settings.schedule, settings.schedule_time_zone) == ("0 3,14 * * *", "UTC")
    assert (settings.keep_expired, settings.allow_mass_removal) == (False, False)
    assert set(settings.datasets) == {"campaign_sales", "campaign_redemptions"}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("home", "/srv/etl", Path("/srv/etl")),
        ("registry_url", "file:/srv/registry", "file:/srv/registry"),
        ("source_url", "sqlite:////srv/x.sqlite", "sqlite:////srv/x.sqlite"),
        ("staging_url", "file:/srv/staging", "file:/srv/staging"),
        ("warehouse_url", "duckdb:////srv/w.duckdb", "duckdb:////srv/w.duckdb"),
        ("datasets_folder", "/srv/datasets", Path("/srv/datasets")),
        ("schedule", "*/5 * * * *", "*/5 * * * *"),
        ("schedule_time_zone", "America/New_York", "America/New_York"),
        ("keep_expired", "true", True),
        ("allow_mass_removal", "YES", True),
    ],
)
def test_each_variable_sets_its_field(field: str, text: str, value: object) -> None:
    assert getattr(Settings.from_environment({VARIABLES[field]: text}), field) == value


def test_every_field_has_a_variable() -> None:
    assert set(VARIABLES) == set(Settings.__dataclass_fields__)
    assert len(set(VARIABLES.values())) == len(VARIABLES)


def test_a_home_moves_every_default_with_it(tmp_path: Path) -> None:
    settings = Settings.from_environment({"ETL_ASSETS_HOME": str(tmp_path)})
    urls = (
        settings.registry_url,
        settings.source_url,
        settings.staging_url,
        settings.warehouse_url,
    )
    assert all(str(tmp_path) in url for url in urls)


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({"ETL_ASSETS_HOME": "here"})
    assert settings.home == tmp_path / "here"
    assert settings.warehouse_url == f"duckdb:///{tmp_path}/here/warehouse.duckdb"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    empty = Settings.from_environment(dict.fromkeys(VARIABLES.values(), "  "))
    assert empty == Settings()


@pytest.mark.parametrize("text", ["1", "true", "True", "yes"])
def test_yes_can_be_written_in_some_ways(text: str) -> None:
    assert Settings.from_environment({"ETL_ASSETS_KEEP_EXPIRED": text}).keep_expired


@pytest.mark.parametrize("text", ["0", "false", "FALSE", "no"])
def test_no_can_be_written_in_some_ways(text: str) -> None:
    assert not Settings.from_environment({"ETL_ASSETS_KEEP_EXPIRED": text}).keep_expired


@pytest.mark.parametrize("variable", ["ETL_ASSETS_KEEP_EXPIRED", "ETL_ASSETS_ALLOW_MASS_REMOVAL"])
def test_neither_yes_nor_no_is_refused_with_the_variable(variable: str) -> None:
    with pytest.raises(PermanentError, match=f"{variable} is 'on'. Write true or false."):
        Settings.from_environment({variable: "on"})


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("ETL_ASSETS_SOURCE", "mysql+pymysql://reader:s3cr3t@host/db"),
        ("ETL_ASSETS_WAREHOUSE", "redshift://loader:s3cr3t@host:5439/db"),
        ("ETL_ASSETS_REGISTRY", "dynamodb://user:s3cr3t@table"),
        ("ETL_ASSETS_STAGING", "s3://user:s3cr3t@bucket/prefix"),
        ("ETL_ASSETS_SOURCE", "mysql://reader@host/db?Password=s3cr3t"),
        ("ETL_ASSETS_SOURCE", "mysql://reader:s3cr3t@host:port/db"),
        ("ETL_ASSETS_SOURCE", "reader:s3cr3t@host"),
    ],
)
def test_a_password_in_a_url_is_refused_without_showing_it(variable: str, url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        Settings.from_environment({variable: url})
    assert str(caught.value).startswith(f"{variable} carries a password")
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in repr(caught.value)


def test_an_at_sign_in_a_path_is_no_password() -> None:
    settings = Settings.from_environment({"ETL_ASSETS_REGISTRY": "file:/srv/me@work/registry"})
    assert settings.registry_url == "file:/srv/me@work/registry"


@pytest.mark.parametrize(
    ("field", "opener", "expected"),
    [
        ("registry_url", "open_registry", "file:FOLDER"),
        ("source_url", "open_source", "sqlite:///FILE"),
        ("staging_url", "open_staging", "file:FOLDER"),
        ("warehouse_url", "open_warehouse", "duckdb:///FILE"),
    ],
)
@pytest.mark.parametrize("url", ["gopher://hidden", "hidden", "file:", "://"])
def test_a_url_of_no_system_is_refused_without_showing_it(
    field: str, opener: str, expected: str, url: str
) -> None:
    settings = Settings.from_environment({VARIABLES[field]: url})
    with pytest.raises(PermanentError) as caught:
        getattr(settings, opener)()
    assert VARIABLES[field] in str(caught.value)
    assert f"Write {expected}" in str(caught.value)
    assert "//hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime"])
def test_a_time_zone_that_is_none_is_refused_with_its_variable(name: str) -> None:
    with pytest.raises(PermanentError, match=r"ETL_ASSETS_SCHEDULE_TIME_ZONE is .*no time zone"):
        Settings.from_environment({"ETL_ASSETS_SCHEDULE_TIME_ZONE": name})


def test_a_folder_without_datasets_says_which_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"no dataset document .* Set ETL_ASSETS_DATASETS"):
        _ = Settings(datasets_folder=tmp_path).datasets


def test_a_dataset_is_named_as_its_file(small: Small) -> None:
    small.write_dataset(DATASET, "other")
    with pytest.raises(DocumentError, match=r"other\.yaml .*it must be the file's name"):
        _ = small.settings().datasets


def test_a_dataset_document_that_is_no_text_is_named(small: Small) -> None:
    (small.home / "datasets" / "more.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PermanentError, match=r"more\.yaml cannot be read \(it is not UTF-8 text"):
        _ = small.settings().datasets


def test_a_dataset_document_that_cannot_be_read_is_named(small: Small) -> None:
    (small.home / "datasets" / "more.yaml").mkdir()
    with pytest.raises(PermanentError, match=r"more\.yaml cannot be read \(Is a directory"):
        _ = small.settings().datasets
