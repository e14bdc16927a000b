"""Copy tables of MySQL by another tool. Runs in the tools' own environment: nothing of ours is here.

    python peers_copy.py WAY SOURCE_URL FOLDER < names of tables

Prints a line of JSON for each table.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Copy each table by itself, and say how that ended."""
    way, source, folder = sys.argv[1:]
    copy = _pandas if way == "pandas" else _dlt(way)
    for line in sys.stdin:
        table = line.strip()
        error = None
        try:
            copy(source, table, folder)
        except BaseException as caught:  # noqa: BLE001  (a panic of Rust is none of Exception)
            while caught.__cause__ is not None:
                caught = caught.__cause__  # what a person would look for in the trace
            error = f"{type(caught).__name__}: {caught}"
        print(json.dumps({"table": table, "error": error}), flush=True)


def _pandas(source: str, table: str, folder: str) -> None:
    import pandas as pd
    import sqlalchemy as sa

    frame = pd.read_sql(f"SELECT * FROM {table}", sa.create_engine(source))
    frame.to_csv(Path(folder) / f"{table}.csv", index=False)


def _dlt(way: str) -> Callable[[str, str, str], None]:
    import dlt
    from dlt.sources.sql_database import sql_table

    backend = {"dlt-pyarrow": "pyarrow", "dlt-connectorx": "connectorx"}.get(way, "sqlalchemy")

    def copy(source: str, table: str, folder: str) -> None:
        destination = dlt.destinations.duckdb(f"{folder}/{table}.duckdb")
        with tempfile.TemporaryDirectory() as state:
            pipeline = dlt.pipeline(
                table, pipelines_dir=state, destination=destination, dataset_name="copied"
            )
            pipeline.run(sql_table(credentials=source, table=table, backend=backend))

    return copy


if __name__ == "__main__":
    main()
