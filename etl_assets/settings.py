"""What the environment says. Nothing else in the package reads it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from etl_assets.core.datasets import Dataset, index_datasets, parse_dataset
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.feeds.feed import Feed
from etl_assets.core.inputs.contract import Contract
from etl_assets.document_folders import read_contracts, read_document, read_feeds
from etl_assets.systems import connect
from etl_assets.systems.alerts import Channel, open_channels
from etl_assets.systems.delivering import Login
from etl_assets.systems.protocols import RegistryStore, Source, Staging, Warehouse

if TYPE_CHECKING:
    from etl_assets.inputs.inputs import Inputs

_SECRET = re.compile("passw|pwd|secret(?!_id$)|token", re.IGNORECASE)  # secret_id names one
_LIKE_A_PASSWORD = re.compile(r":[^/@]+@")  # in what is not quite a URL

_MOST_DAYS = 36_500

PACKAGED_DATASETS = Path(__file__).parent / "datasets"
_FEED_SECRET = re.compile(r"ETL_ASSETS_FEED_(?P<feed>[A-Z0-9_]+)_(?P<what>PASSWORD|KEY_FILE)")


@dataclass(frozen=True)
class Settings:
    """The platform's settings; every field has its environment variable in `VARIABLES`.

    Attributes:
        home: Folder of all embedded state, Dagster's included.
        registry_url: Where campaigns, calendar and rule sets are.
        source_url: Where records are read.
        source_password: Of the source's user; never shown.
        warehouse_password: Of the warehouse's user; never shown.
        staging_url: Where extracts and parts are kept.
        warehouse_url: Where records are loaded.
        readers: Who may read the views, such as `role:analysts, user:tableau`; in Redshift only.
        datasets_folder: The dataset documents.
        contracts_folder: The contracts of raw inputs; `contracts` beside the datasets unless said.
        feeds_folder: The feed documents; `feeds` beside the datasets unless said.
        feed_logins: By feed, the password or key that its destination asks for; never shown.
        inputs_url: Where raw inputs are loaded; the source unless said.
        inputs_password: Of that database's user; the source's unless said; never shown.
        schedule: Cron expression of the refresh.
        schedule_time_zone: IANA name; the cron and the calendar's dates are in it.
        keep_expired: Whether keys that left the calendar stay in the tables.
        allow_mass_removal: Whether more than half of the keys may go at once.
        keep_runs_days: How many days Dagster's runs are kept after their end.
        alert_webhook: A URL that takes problems as JSON; never shown, as it may be a password.
        alert_slack: The URL of an incoming webhook of Slack; never shown.
        alert_email: Addresses that problems are mailed to, with commas between.
        alert_smtp: The server they are mailed by.
        alert_smtp_password: Of its user; never shown.
        alert_sns: ARN of the SNS topic that problems are published to.
    """

    home: Path = Path("var")
    registry_url: str = ""
    source_url: str = ""
    source_password: str = field(default="", repr=False)
    warehouse_password: str = field(default="", repr=False)
    staging_url: str = ""
    warehouse_url: str = ""
    readers: str = ""
    datasets_folder: Path = field(default=PACKAGED_DATASETS)
    contracts_folder: Path = Path()
    feeds_folder: Path = Path()
    feed_logins: Mapping[str, Login] = field(default_factory=dict, repr=False)
    inputs_url: str = ""
    inputs_password: str = field(default="", repr=False)
    schedule: str = "0 3,14 * * *"
    schedule_time_zone: str = "UTC"
    keep_expired: bool = False
    allow_mass_removal: bool = False
    keep_runs_days: int = 180
    alert_webhook: str = field(default="", repr=False)
    alert_slack: str = field(default="", repr=False)
    alert_email: str = ""
    alert_smtp: str = field(default="", repr=False)
    alert_smtp_password: str = field(default="", repr=False)
    alert_sns: str = ""

    def __post_init__(self) -> None:
        home = self.home.absolute()
        defaults = {
            "home": home,
            "registry_url": f"file:{home}/registry",
            "source_url": f"sqlite:///{home}/source.sqlite",
            "staging_url": f"file:{home}/staging",
            "warehouse_url": f"duckdb:///{home}/warehouse.duckdb",
        }
        for name, default in defaults.items():
            if name == "home" or not getattr(self, name):
                object.__setattr__(self, name, default)
        if self.contracts_folder == Path():
            object.__setattr__(self, "contracts_folder", self.datasets_folder.parent / "contracts")
        if self.feeds_folder == Path():
            object.__setattr__(self, "feeds_folder", self.datasets_folder.parent / "feeds")
        if not self.inputs_url:
            object.__setattr__(self, "inputs_url", self.source_url)
            object.__setattr__(
                self, "inputs_password", self.inputs_password or self.source_password
            )
        for name in ("registry_url", "source_url", "staging_url", "warehouse_url", "inputs_url"):
            _refuse_password(VARIABLES[name], getattr(self, name))
        _check_zone(VARIABLES["schedule_time_zone"], self.schedule_time_zone)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Return the settings of the process's environment, or of the mapping given.

        Raises:
            PermanentError: When a variable has a value it cannot have.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, object] = {}
        for name, variable in VARIABLES.items():
            text = environment.get(variable, "").strip()
            if not text or name == "feed_logins":
                continue
            if name in ("home", "datasets_folder", "contracts_folder", "feeds_folder"):
                values[name] = Path(text)
            elif name in ("keep_expired", "allow_mass_removal"):
                values[name] = _boolean(variable, text)
            elif name == "keep_runs_days":
                values[name] = _days(variable, text)
            else:
                values[name] = text
        values["feed_logins"] = _feed_logins(environment)
        return cls(**values)  # type: ignore[arg-type]

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """The datasets, by name.

        Raises:
            DocumentError: When a document is not valid.
            PermanentError: When there is none.
        """
        found = []
        for path in sorted(self.datasets_folder.glob("*.y*ml")):
            dataset = parse_dataset(read_document(path), path.name)
            if dataset.name != path.stem:
                problem = f"`dataset` is `{dataset.name}`; it must be the file's name"
                raise DocumentError(path.name, [problem])
            found.append((path.name, dataset))
        if not found:
            raise PermanentError(
                f"There is no dataset document in {self.datasets_folder}.",
                "Set ETL_ASSETS_DATASETS to the folder that holds them.",
            )
        return index_datasets(found)

    @cached_property
    def contracts(self) -> dict[str, Contract]:
        """The contracts of raw inputs, by source; none where there is none.

        Raises:
            DocumentError: When a contract is not valid.
        """
        return read_contracts(self.contracts_folder)

    @cached_property
    def feeds(self) -> dict[str, Feed]:
        """The feeds, by name; none where there is none.

        Raises:
            DocumentError: When a document is not valid.
        """
        return read_feeds(self.feeds_folder, self.datasets)

    def dataset_text(self, name: str) -> str:
        """Return the text of the document of a dataset that there is."""
        return read_document(next(self.datasets_folder.glob(f"{name}.y*ml")))

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's instance."""
        return self.home / "dagster"

    def open_registry(self) -> RegistryStore:
        """Return the registry."""
        return connect.open_registry(self.registry_url, self.datasets.keys())

    def open_source(self) -> Source:
        """Return the source."""
        return connect.open_source(self.source_url, self.source_password)

    def open_inputs(self) -> "Inputs":
        """Return the raw inputs: their contracts, files and database."""
        return open_inputs(
            self.contracts_folder, self.open_staging(), self.inputs_url, self.inputs_password
        )

    def open_staging(self) -> Staging:
        """Return the staging store."""
        return connect.open_staging(self.staging_url)

    def open_warehouse(self) -> Warehouse:
        """Return the warehouse."""
        return connect.open_warehouse(self.warehouse_url, self.warehouse_password, self.readers)

    @property
    def has_alerts(self) -> bool:
        """Whether a channel is configured that problems are told by."""
        return any((self.alert_webhook, self.alert_slack, self.alert_email, self.alert_sns))

    def open_alerts(self) -> list[Channel]:
        """Return the channels that are configured; none unless somebody did so.

        Raises:
            PermanentError: When one is not what it has to be.
        """
        return open_channels(
            webhook=self.alert_webhook, slack=self.alert_slack, email=self.alert_email,
            smtp=self.alert_smtp, smtp_password=self.alert_smtp_password, sns=self.alert_sns,
        )  # fmt: skip

    @property
    def secrets(self) -> list[str]:
        """What must stand in no message."""
        every = (
            self.source_password, self.inputs_password, self.warehouse_password,
            self.alert_smtp_password,
            self.alert_webhook, self.alert_slack,
            *(login.password for login in self.feed_logins.values()),
        )  # fmt: skip
        return [secret for secret in every if secret]


def open_inputs(contracts: Path, staging: Staging, url: str, password: str) -> "Inputs":
    """Return the raw inputs of a folder of contracts, a store and a database.

    Raises:
        DocumentError: When a contract is not valid.
        PermanentError: When the URL names no database that inputs are loaded into.
    """
    from etl_assets.inputs.inputs import Inputs
    from etl_assets.systems.input_files import InputFiles

    database = connect.open_inputs(url, password)
    return Inputs(read_contracts(contracts), InputFiles(staging), database)


VARIABLES = {
    "home": "ETL_ASSETS_HOME",
    "registry_url": "ETL_ASSETS_REGISTRY",
    "source_url": "ETL_ASSETS_SOURCE",
    "source_password": "ETL_ASSETS_SOURCE_PASSWORD",
    "warehouse_password": "ETL_ASSETS_WAREHOUSE_PASSWORD",
    "staging_url": "ETL_ASSETS_STAGING",
    "warehouse_url": "ETL_ASSETS_WAREHOUSE",
    "readers": "ETL_ASSETS_READERS",
    "datasets_folder": "ETL_ASSETS_DATASETS",
    "contracts_folder": "ETL_ASSETS_CONTRACTS",
    "inputs_url": "ETL_ASSETS_INPUTS",
    "inputs_password": "ETL_ASSETS_INPUTS_PASSWORD",
    "feeds_folder": "ETL_ASSETS_FEEDS",
    "feed_logins": "ETL_ASSETS_FEED_",
    "schedule": "ETL_ASSETS_SCHEDULE",
    "schedule_time_zone": "ETL_ASSETS_SCHEDULE_TIME_ZONE",
    "keep_expired": "ETL_ASSETS_KEEP_EXPIRED",
    "allow_mass_removal": "ETL_ASSETS_ALLOW_MASS_REMOVAL",
    "keep_runs_days": "ETL_ASSETS_KEEP_RUNS_DAYS",
    "alert_webhook": "ETL_ASSETS_ALERT_WEBHOOK",
    "alert_slack": "ETL_ASSETS_ALERT_SLACK",
    "alert_email": "ETL_ASSETS_ALERT_EMAIL",
    "alert_smtp": "ETL_ASSETS_ALERT_SMTP",
    "alert_smtp_password": "ETL_ASSETS_ALERT_SMTP_PASSWORD",
    "alert_sns": "ETL_ASSETS_ALERT_SNS",
}
"""The environment variable of each field of `Settings`; of `feed_logins`, what theirs begin with."""


def _boolean(variable: str, text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise PermanentError(f"{variable} is {text!r}.", "Write true or false.")
    return values[text.lower()]


def _days(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_DAYS):
        raise PermanentError(f"{variable} is {text!r}.", f"Write days, 1 to {_MOST_DAYS}.")
    return int(text)


def _feed_logins(environment: Mapping[str, str]) -> dict[str, Login]:
    found: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        if (match := _FEED_SECRET.fullmatch(variable)) and value:
            found.setdefault(match["feed"].lower(), {})[match["what"].lower()] = value
    return {feed: Login(**login) for feed, login in found.items()}


def _check_zone(variable: str, name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise PermanentError(
            f"{variable} is {name!r}, which is no time zone of the IANA database.",
            "Write one such as Europe/Paris, or leave it out for UTC.",
        ) from None


def _refuse_password(variable: str, url: str) -> None:
    """Raise when a URL carries a password: URLs are shown in the UI and in logs."""
    try:
        parsed = sa.make_url(url)
        found = bool(parsed.password) or any(_SECRET.search(name) for name in parsed.query)
    except (sa.exc.ArgumentError, ValueError):
        found = bool(_LIKE_A_PASSWORD.search(url))
    if found:
        raise PermanentError(
            f"{variable} carries a password, and URLs are shown in the UI and in logs.",
            f"Take it out of the URL and set {variable}_PASSWORD.",
        )
