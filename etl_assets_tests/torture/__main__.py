"""Run the torture dataset and write docs/torture.md: `python -m etl_assets_tests.torture`."""

import sys
import tempfile
from pathlib import Path

import pytest

from etl_assets_tests.servers import MariaDBServer, ensure_packages
from etl_assets_tests.standins.bucket import serve_bucket
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.systems.redshift_server import Redshift
from etl_assets_tests.torture.cases import TORTURE, VALUE_TEST
from etl_assets_tests.torture.chain import SERVER_OPTIONS, Torture
from etl_assets_tests.torture.page import PAGE, Peers, render


def main() -> None:
    """Write the page, unless something is not as it should be."""
    named = {name for case in TORTURE for name in case.tests if VALUE_TEST not in name}
    if pytest.main(["-q", *sorted(named)]) != pytest.ExitCode.OK:
        sys.exit("A test that a case names fails; the page was not written.")
    ensure_packages("mariadbd", "mariadb-install-db", "initdb")
    with (
        MariaDBServer(*SERVER_OPTIONS) as server,
        serve_bucket("staging") as bucket,
        RedshiftStandin(bucket.endpoint) as standin,
        tempfile.TemporaryDirectory() as folder,
    ):
        arrived = Torture(server, Redshift(standin, bucket), Path(folder)).run()
    wrong = [f"{a.value.id}: {a.way} {a.duckdb}; {a.redshift}" for a in arrived if not a.right]
    if wrong:
        sys.exit("\n".join(["The page was not written, for not all is as it should be:", *wrong]))
    PAGE.write_text(render(arrived, Peers.read()), encoding="utf-8")


if __name__ == "__main__":
    main()
