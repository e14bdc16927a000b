"""The COPY of staged parts into a staging table of the session."""

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core import redshift_sql as sql
from etl_assets.core.errors import WarehouseError
from etl_assets.core.manifest import Stage
from etl_assets.systems import redshift_tables as tables
from etl_assets.systems.protocols import Staging
from etl_assets.systems.redshift_connect import RedshiftUrl
from etl_assets.systems.redshift_errors import is_connection_lost
from etl_assets.systems.redshift_load_error import describe_load_error, find_load_error
from etl_assets.systems.staging import prove_parts
from etl_assets.systems.telemetry import span


@span("copy")
def copy_parts(
    connection: pg.connection,
    url: RedshiftUrl,
    stage: Stage,
    staging: Staging,
    what: str,
    number: int,
) -> int:
    """Fill a staging table from the parts, all of them or nothing; return the records.

    In a transaction of its own: in autocommit Redshift goes on loading when the client
    has gone (dg:copy-usage_notes-multiple-files).
    """
    copy = sql.copy_staging(
        stage.columns,
        stage.null_token,
        staging.uri(stage.copy_manifest),
        number,
        iam_role=url.iam_role,
        region=url.region,
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT getdate()")
        (since,) = cursor.fetchone() or (None,)
        cursor.execute(sql.create_staging(stage.columns, number))
        try:
            cursor.execute(copy)
        except psycopg2.Error as error:
            if is_connection_lost(error):
                raise
            connection.rollback()
            prove_parts(stage, staging)
            found = find_load_error(connection, since)
            if found is None:
                raise
            raise WarehouseError(
                f"{what} failed: {describe_load_error(found, stage, staging)};"
                " the table is as it was.",
                "Correct the value at the source, or say in a rule what happens to it.",
            ) from error
        copied = tables.count(cursor, "SELECT pg_last_copy_count()")
    prove_parts(stage, staging)
    connection.commit()
    return copied
