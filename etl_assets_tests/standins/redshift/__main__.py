"""Starts the stand-in from a shell."""

from __future__ import annotations

import argparse
import os
import signal
import ssl
import sys
import threading
from collections.abc import Sequence

from etl_assets_tests.standins.redshift.postgres import PostgresError
from etl_assets_tests.standins.redshift.server import RedshiftServer


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="redshift", description=__doc__)
    parser.add_argument("--s3-endpoint", required=True, help="URL that COPY reads objects from")
    parser.add_argument("--s3-region", default="us-east-1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5439, help="0 for any free port")
    parser.add_argument("--user", default="awsuser")
    parser.add_argument("--database", default="dev")
    parser.add_argument("--isolation", choices=("serializable", "snapshot"), default="serializable")
    parser.add_argument("--data-folder", help="keeps the data; default is a private folder")
    parser.add_argument("--postgres-binaries", help="folder with initdb and postgres")
    parser.add_argument(
        "--no-checks", action="store_true", help="COPY streams parts to PostgreSQL unchecked"
    )
    parser.add_argument(
        "--stop-with-stdin", action="store_true", help="stop when standard input is closed"
    )
    parser.add_argument("--tls-certificate", help="PEM file; offers TLS")
    parser.add_argument("--tls-key", help="PEM file with the certificate's key")
    return parser.parse_args(arguments)


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_certificate, options.tls_key)
    return context


def _wait_for_end(ended: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    ended.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stand-in until SIGINT or SIGTERM.

    The first line on standard output is the DSN. The password is taken from the environment
    variable REDSHIFT_STANDIN_PASSWORD, and the S3 keys from AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY.

    Args:
        arguments: The command line, None for the process's own.

    Returns:
        The exit status.
    """
    options = _arguments(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if options.stop_with_stdin:
        # The end of the parent closes the pipe, however it ends.
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    try:
        with RedshiftServer(
            options.s3_endpoint,
            host=options.host,
            port=options.port,
            user=options.user,
            password=os.environ.get("REDSHIFT_STANDIN_PASSWORD", "Standin1"),
            database=options.database,
            isolation=options.isolation,
            checks=not options.no_checks,
            data_folder=options.data_folder,
            binaries=options.postgres_binaries,
            s3_access_key=os.environ.get("AWS_ACCESS_KEY_ID", "standin"),
            s3_secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "standin"),
            s3_region=options.s3_region,
            tls=_tls(options),
        ) as server:
            print(server.dsn, flush=True)
            ended.wait()
    except (PostgresError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
