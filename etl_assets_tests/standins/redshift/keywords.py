"""Words with a meaning of their own in Redshift's SQL."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The documentation's list of reserved words; as names they need quotation marks.
RESERVED = _words("""
    AES128 AES256 ALL ALLOWOVERWRITE ANALYSE ANALYZE AND ANY ARRAY AS ASC AUTHORIZATION AZ64 BACKUP
    BETWEEN BINARY BLANKSASNULL BOTH BYTEDICT BZIP2 CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE
    CREDENTIALS CROSS CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_USER_ID
    DEFAULT DEFERRABLE DEFLATE DEFRAG DELTA DELTA32K DESC DISABLE DISTINCT DO ELSE EMPTYASNULL
    ENABLE ENCODE ENCRYPT ENCRYPTION END EXCEPT EXPLICIT FALSE FOR FOREIGN FREEZE FROM FULL
    GLOBALDICT256 GLOBALDICT64K GRANT GROUP GZIP HAVING IDENTITY IGNORE ILIKE IN INITIALLY INNER
    INTERSECT INTERVAL INTO IS ISNULL JOIN LANGUAGE LEADING LEFT LIKE LIMIT LOCALTIME LOCALTIMESTAMP
    LUN LUNS LZO LZOP MINUS MOSTLY16 MOSTLY32 MOSTLY8 NATURAL NEW NOT NOTNULL NULL NULLS OFF OFFLINE
    OFFSET OID OLD ON ONLY OPEN OR ORDER OUTER OVERLAPS PARALLEL PARTITION PERCENT PERMISSIONS PIVOT
    PLACING PRIMARY RAW READRATIO RECOVER REFERENCES REJECTLOG RESORT RESPECT RESTORE RIGHT SELECT
    SESSION_USER SIMILAR SNAPSHOT SOME SYSDATE SYSTEM TABLE TAG TDES TEXT255 TEXT32K THEN TIMESTAMP
    TO TOP TRAILING TRUE TRUNCATECOLUMNS UNION UNIQUE UNNEST UNPIVOT USER USING VERBOSE WALLET WHEN
    WHERE WITH WITHOUT
    """)
SYSTEM_COLUMNS = _words("oid ctid xmin cmin xmax cmax tableoid")
ENCODINGS = tuple(
    _words("""
    RAW AZ64 BYTEDICT DELTA DELTA32K LZO MOSTLY8 MOSTLY16 MOSTLY32 RUNLENGTH TEXT255 TEXT32K ZSTD
    AUTO
    """)
)
# What Redshift knows and PostgreSQL does not; they are kept under a prefix of their own.
PARAMETERS = _words("""
    analyze_threshold_percent cast_super_null_on_error datashare_break_glass_session_var
    default_geometry_encoding describe_field_name_in_uppercase
    enable_result_cache_for_session enable_vacuum_boost error_on_nondeterministic_update
    json_serialization_enable json_serialization_parse_nested_strings
    max_concurrency_scaling_clusters max_cursor_result_set_size mv_enable_aqmv_for_session
    navigate_super_null_on_error parse_super_null_on_error query_group
    spectrum_enable_pseudo_columns stored_proc_log_min_messages wlm_query_slot_count
    """)
# PostgreSQL parameters of a later age than Redshift's fork.
FOREIGN_PARAMETERS = _words(
    "lock_timeout idle_in_transaction_session_timeout deadlock_timeout synchronous_commit"
)
FOREIGN_FUNCTIONS = _words("""
    nextval currval setval lastval unnest array_agg string_agg gen_random_uuid jsonb_build_object
    jsonb_agg to_jsonb row_to_json string_to_array pg_advisory_lock pg_advisory_xact_lock
    pg_try_advisory_lock pg_notify
    """)
EMULATED_ELSEWHERE = ("USE",)
STATEMENTS = _words("""
    ABORT ALTER ANALYZE BEGIN CALL CLOSE COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DROP
    END EXECUTE EXPLAIN FETCH GRANT INSERT LOCK MERGE PREPARE RESET REVOKE ROLLBACK SELECT SET SHOW
    START TRUNCATE UPDATE VACUUM WITH
    """)
OBJECTS = _words("""
    TABLE TEMP TEMPORARY LOCAL VIEW MATERIALIZED SCHEMA USER GROUP ROLE DATABASE FUNCTION PROCEDURE
    """)
REDSHIFT_ONLY_OBJECTS = _words("EXTERNAL LIBRARY MODEL DATASHARE MASKING RLS IDENTITY")
