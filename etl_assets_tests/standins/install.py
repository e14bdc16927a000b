"""Install what the tests' servers need, before two of pytest's workers would do so at once.

Run with `python -m etl_assets_tests.standins.install`. What cannot be installed here is said,
and once more by the tests that need it.
"""

import sys

from etl_assets_tests.servers import PACKAGES, MissingServerError, ensure_packages
from etl_assets_tests.standins.ministack import install_ministack
from etl_assets_tests.standins.server import StandinError


def main() -> None:
    """Install packages of the system, where that is allowed, and MiniStack."""
    for work in (lambda: ensure_packages(*PACKAGES), install_ministack):
        try:
            work()
        except (MissingServerError, StandinError) as error:
            sys.stderr.write(f"{error}\n")


if __name__ == "__main__":
    main()
