"""What dlt, sling and plain pandas do with the values of the torture dataset: `make bench-torture`.

Each value is in a table of its own and copied by itself, from the same MariaDB. The tools are
in an environment of their own (`benchmarks/peers.txt`). What they did goes to
`benchmarks/torture.json`, from which `python -m etl_assets_tests.torture` writes the page.
Given names of ways (`python -m benchmarks.torture sling`), it runs those and keeps the rest.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import psycopg2.extensions as pg

from etl_assets.core.columns import ColumnType
from etl_assets_tests.servers import MariaDBServer, ensure_packages, free_port
from etl_assets_tests.standins.bucket import serve_bucket
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.standins.redshift.postgres import ADMIN, PostgresServer
from etl_assets_tests.systems.mysql_cases import VALUES, PolicyCase, Value, create_tables
from etl_assets_tests.systems.redshift_server import ROLE, Redshift
from etl_assets_tests.torture.chain import SERVER_OPTIONS
from etl_assets_tests.torture.judging import Row, judge

HERE = Path(__file__).parent
RESULTS = HERE / "torture.json"
PEERS = HERE.parent / "var" / "peers"
WAYS = {
    "dlt": ("dlt", "`sql_table(credentials, table)`, to DuckDB"),
    "dlt-pyarrow": ("dlt, pyarrow", '`sql_table(…, backend="pyarrow")`, to DuckDB'),
    "dlt-connectorx": ("dlt, connectorx", '`sql_table(…, backend="connectorx")`, to DuckDB'),
    "sling": ("sling", "`sling run --src-conn … --src-stream … --tgt-conn …`, to PostgreSQL 15"),
    "pandas": (
        "pandas",
        "`read_sql`, `to_csv(index=False)`, `COPY … CSV IGNOREHEADER 1 EMPTYASNULL` into the stand-in",
    ),
}  # fmt: skip
"""Way: its heading, and what was run."""

_PACKAGES = ("dlt", "connectorx", "sling-linux-amd64", "pandas", "pyarrow", "SQLAlchemy", "PyMySQL")
_USER = "peer"
_SLING_SECONDS = 120
_SHOWN = 90


def main() -> None:
    """Make the environment, copy every value every way, write the results."""
    ensure_packages("mariadbd", "mariadb-install-db", "initdb")
    python = _environment()
    with (
        MariaDBServer(*SERVER_OPTIONS) as server,
        serve_bucket("staging") as bucket,
        RedshiftStandin(bucket.endpoint) as standin,
        contextlib.closing(_Postgres()) as postgres,
        tempfile.TemporaryDirectory(prefix="etl_assets_peers_") as folder,
    ):
        server.run(
            *create_tables(VALUES),
            f"CREATE USER {_USER} IDENTIFIED BY '{_USER}'",
            f"GRANT SELECT ON {server.database}.* TO {_USER}",
        )
        run = _Run(python, server, Redshift(standin, bucket), postgres, Path(folder))
        found = {way: run.way(way) for way in sys.argv[1:] or WAYS}
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["ways"] if sys.argv[1:] else {}
    outcomes = {way: found.get(way) or before[way]["outcomes"] for way in WAYS}
    made = {
        "versions": _versions(python),
        "ways": {
            way: {"heading": heading, "options": options, "outcomes": outcomes[way]}
            for way, (heading, options) in WAYS.items()
        },
    }
    RESULTS.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class _Postgres(PostgresServer):
    """A plain PostgreSQL on a port of 127.0.0.1, for whoever does not take a socket."""

    def __init__(self) -> None:
        super().__init__("snapshot")
        self.tcp = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"postgres://{ADMIN}@127.0.0.1:{self.tcp}/postgres?sslmode=disable"

    def close(self) -> None:
        self.stop()

    def _create(self) -> None:
        super()._create()
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = '127.0.0.1'\nport = {self.tcp}\n")
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")


class _Run:
    """The servers, and a folder for what is delivered into files."""

    def __init__(
        self,
        python: Path,
        server: MariaDBServer,
        redshift: Redshift,
        postgres: _Postgres,
        folder: Path,
    ) -> None:
        self._python = python
        self._redshift = redshift
        self._postgres = postgres
        self._folder = folder
        self._source = f"{_USER}:{_USER}@127.0.0.1:{server.port}/{server.database}"

    def way(self, way: str) -> dict[str, str]:
        """Copy every value one way; return what became of each."""
        target = self._folder / way
        target.mkdir()
        print(f"{way} …", file=sys.stderr, flush=True)
        errors = self._sling() if way == "sling" else self._script(way, target)
        outcomes: dict[str, str] = {}
        for value in VALUES:
            error = errors[value.table]
            if error is None and way == "pandas":
                error = self._copy(value, target)
            outcomes[value.id] = (
                judge(value, self._arrived(way, value, target))
                if error is None
                else f"failed: `{_told(error)}`"
            )
        return outcomes

    def _script(self, way: str, target: Path) -> dict[str, str | None]:
        """Run the tools of Python; a process that dies is begun again behind what killed it."""
        errors: dict[str, str | None] = {}
        while left := [value.table for value in VALUES if value.table not in errors]:
            done = subprocess.run(
                [self._python, HERE / "peers_copy.py", way, f"mysql+pymysql://{self._source}", target],
                input="\n".join(left), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "HOME": str(self._folder)},
                cwd=self._folder, check=False,
            )  # fmt: skip
            said = [json.loads(line) for line in done.stdout.splitlines()]
            errors |= {answer["table"]: answer["error"] for answer in said}
            if len(said) < len(left):
                errors[left[len(said)]] = f"the process ended with {done.returncode}"
        return errors

    def _sling(self) -> dict[str, str | None]:
        environment = {
            "HOME": str(self._folder), "NO_COLOR": "1", "PATH": os.environ["PATH"],
            "MYSQL": f"mysql://{self._source}", "POSTGRES": self._postgres.url,
        }  # fmt: skip
        site = self._python.parents[1]
        (program,) = site.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-*")
        errors: dict[str, str | None] = {}
        for value in VALUES:
            done = subprocess.run(
                [program, "run", "--src-conn", "MYSQL", "--src-stream", f"shop.{value.table}",
                 "--tgt-conn", "POSTGRES", "--tgt-object", f"public.{value.table}"],
                env=environment, capture_output=True, text=True, check=False, timeout=_SLING_SECONDS,
            )  # fmt: skip
            errors[value.table] = None if done.returncode == 0 else done.stdout + done.stderr
        return errors

    def _copy(self, value: Value, target: Path) -> str | None:
        """COPY the CSV of pandas as people do; return the error, with the load error's reason."""
        bucket, key = self._redshift.bucket, f"pandas/{value.table}.csv"
        bucket.put((target / f"{value.table}.csv").read_bytes(), key)
        try:
            self._redshift.run(
                f"CREATE TABLE {value.table} (id INTEGER, v {_natural(value).redshift})",
                f"COPY {value.table} FROM 's3://{bucket.name}/{key}' IAM_ROLE '{ROLE}'"
                " CSV IGNOREHEADER 1 EMPTYASNULL",
            )
        except psycopg2.Error as error:
            reasons = self._redshift.query(
                "SELECT error_message FROM sys_load_error_detail WHERE file_name LIKE %s",
                f"%{key}%",
            )
            return f"COPY: {reasons[0][0] if reasons else error}"
        return None

    def _arrived(self, way: str, value: Value, target: Path) -> Mapping[int, Row]:
        """Read what was delivered."""
        if way.startswith("dlt"):
            with duckdb.connect(str(target / f"{value.table}.duckdb"), read_only=True) as opened:
                return _rows(opened.execute(f"SELECT * FROM copied.{value.table}"))
        connection = (
            psycopg2.connect(self._postgres.url) if way == "sling" else self._redshift.connect()
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            for kind in (pg.PYDATE, pg.PYDATETIME, pg.PYDATETIMETZ):
                pg.register_type(pg.new_type(kind.values, "MOMENT", partial(_moment, kind)), cursor)
            cursor.execute(f"SELECT * FROM {value.table}")
            return _rows(cursor)


def _moment(kind: Any, text: str | None, cursor: pg.cursor) -> object:  # noqa: ANN401
    """Return a date or time as the driver does, or its text where Python has none like it."""
    try:
        return kind(text, cursor)
    except ValueError:
        return text


def _rows(cursor: Any) -> dict[int, Row]:  # noqa: ANN401  (of two drivers)
    """Return records by their `id`; columns that the tool itself added do not count."""
    names: Sequence[str] = [described[0] for described in cursor.description]
    own = [n for n, name in enumerate(names) if name != "id" and not name.startswith("_dlt")]
    number = names.index("id")
    return {int(row[number]): [(names[n], row[n]) for n in own] for row in cursor.fetchall()}


def _natural(value: Value) -> ColumnType:
    """Return the type of a table that was made for the value."""
    kinds = [way.kind for way in value.ways] if isinstance(value, PolicyCase) else [value.kind]  # type: ignore[attr-defined]
    return ColumnType.parse([kind for kind in kinds if kind][-1])


def _told(error: str) -> str:
    """Return the line of an error that tells most, without what is different every time."""
    lines = [line.strip(" ~") for line in re.sub(r"\x1b\[\d+m", "", error).splitlines()]
    telling = [line for line in lines if line and not re.match(r"fatal:|.*\bINF\b", line)]
    return (telling or ["nothing was said"])[-1 if "fatal:" in lines else 0].replace("`", "'")[
        :_SHOWN
    ]


def _environment() -> Path:
    """Return the Python of the tools' environment, made when there is none."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--requirement", HERE / "peers.txt"], check=True)
    return python


def _versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run(
        [python, "-c", code, *_PACKAGES], capture_output=True, text=True, check=True
    )
    return dict(zip(_PACKAGES, done.stdout.split(), strict=True))


if __name__ == "__main__":
    main()
