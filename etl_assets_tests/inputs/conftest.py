"""The databases that inputs are loaded into: SQLite and MariaDB, one per test."""

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etl_assets.systems.input_database import InputDatabase
from etl_assets.systems.input_engine import MysqlEngine, SqliteEngine
from etl_assets_tests.inputs.deliveries import Deliveries
from etl_assets_tests.servers import MariaDBServer


@pytest.fixture
def embedded(tmp_path: Path) -> Deliveries:
    """Deliveries into an SQLite file."""
    file = tmp_path / "source.sqlite"

    def query(sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(file) as connection:
            found = connection.execute(sql).fetchall()
        connection.close()
        return found

    return Deliveries(
        tmp_path, InputDatabase(SqliteEngine(sa.make_url(f"sqlite:///{file}"))), query
    )


@pytest.fixture
def served(tmp_path: Path, mariadb: MariaDBServer) -> Iterator[Deliveries]:
    """Deliveries into a database of their own in MariaDB."""
    name = f"inputs_{uuid.uuid4().hex[:12]}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/{name}"

    def query(sql: str) -> list[tuple[Any, ...]]:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            connection.select_db(name)
            cursor.execute(sql)
            return list(cursor.fetchall())

    yield Deliveries(tmp_path, InputDatabase(MysqlEngine(sa.make_url(url))), query)
    mariadb.run(f"DROP DATABASE {name}")


@pytest.fixture(params=["sqlite", "mysql"])
def deliveries(request: pytest.FixtureRequest) -> Deliveries:
    """Deliveries into each kind of database."""
    made: Deliveries = request.getfixturevalue(
        "embedded" if request.param == "sqlite" else "served"
    )
    return made
