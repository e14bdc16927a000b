"""The 44 cases: what comes in, what has gone wrong elsewhere, what holds it here.

1 to 28 are values (`systems/mysql_cases.py`), which `chain.py` carries to both warehouses;
what becomes of them is not written here but found out. The others are held by the tests named.
"""

from dataclasses import dataclass

from etl_assets_tests.systems.mysql_cases import VALUES, Value

VALUE_TEST = "torture/test_torture.py::test_every_value_arrives_as_declared"

_CONTRACT = "systems/test_warehouse_contract.py::test_"
_DUCKDB = "systems/test_warehouse_duckdb.py::test_"
_DYNAMODB = "systems/test_registry_dynamodb.py::test_"
_FAULTS = "systems/test_warehouse_redshift_faults.py::test_"
_LOGIN = "systems/test_redshift_connect.py::test_"
_MYSQL = "systems/test_source_mysql.py::test_"
_MYSQL_LOGIN = "systems/test_source_mysql_login.py::test_"
_PIPELINE = "test_pipeline.py::test_"
_HELD = "test_held.py::test_"
_REDSHIFT = "systems/test_warehouse_redshift.py::test_"
_SQL = "core/test_redshift_sql.py::test_"
_TORTURE = "torture/test_torture.py::test_"
_TYPES = "systems/test_source_mysql_types.py::test_"


@dataclass(frozen=True)
class TortureCase:
    """One of the 44.

    Attributes:
        id: Names it.
        title: What comes in.
        elsewhere: What has gone wrong elsewhere.
        reported: Where that was reported: project and number of the thread.
        outcome: What happens here, in a few words.
        others: Tests that hold it, beside the run of its values.
        partly: What is not held, if something is not.
    """

    number: int
    id: str
    title: str
    elsewhere: str
    reported: str
    outcome: str
    others: tuple[str, ...] = ()
    partly: str = ""

    @property
    def values(self) -> list[Value]:
        """Its values."""
        return [value for value in VALUES if value.case == self.number]

    @property
    def tests(self) -> list[str]:
        """The pytest node ids of what holds it."""
        own = [f"{VALUE_TEST}[{self.id}]"] if self.values else []
        return [f"etl_assets_tests/{name}" for name in (*own, *self.others)]


_ROWS = (
    (1, "zero-dates", "`0000-00-00` in a DATE, DATETIME or TIMESTAMP", "crash, or NULL without a word",
     "airbyte 2601, 3931; dlt 2699; sling 386", "the campaign stops, or what the document declares",
     (f"{_TYPES}rejected_records_are_listed_counted_and_part_of_the_proof",)),
    (2, "partial-dates", "`2021-00-15`, `0000-11-30`, 31 February", "crash, or another date",
     "airbyte 16159, 16574; target-redshift 404", "as a zero date; never another date"),
    (3, "zero-dates-not-null", "a zero date in a column that is NOT NULL", "a NULL that fails later, or 1970",
     "airbyte 65082, 10251", "as a zero date; the target's columns take NULL"),
    (4, "year-1-and-9999", "years 1 and 9999, microseconds", "overflow of nanoseconds, rounding into the next day",
     "sling 567; dlt 3184", "exact to the microsecond"),
    (5, "time-beyond-a-day", "TIME of 838 hours, and below zero", "refused, or taken modulo 24 hours",
     "airbyte 3931", "text, exact"),
    (6, "bigint-unsigned", "18446744073709551615", "overflow, NULL or -1", "airbyte 3840; target-redshift 113",
     "DECIMAL(20,0)"),
    (7, "unsigned-integers", "the largest of every integer type", "overflow", "airbyte 3840, 7559; sling 433",
     "the next wider integer"),
    (8, "tinyint-of-two", "TINYINT(1) that holds 2", "true", "sling; tap-mysql 40",
     "SMALLINT; boolean only where declared, and then 2 is refused",
     (f"{_TYPES}a_declared_type_that_would_change_a_value_is_refused",)),
    (9, "bits", "BIT(1) to BIT(64)", "bytes, or a crash", "sling 96; airbyte 49918", "whole numbers"),
    (10, "wide-decimals", "DECIMAL(38,37), DECIMAL(65,30)", "a double, or DDL that fails", "connector-x",
     "exact up to NUMERIC(38,37), else text"),
    (11, "floats", "16777217, 1e-45, -0.0, 0.1 + 0.2", "digits lost in the text", "data-diff 379",
     "every digit; MariaDB itself shows -0 as 0", (f"{_MYSQL}any_double_arrives_as_it_is",)),
    (12, "null-among-integers", "NULL in an integer column", "1 becomes 1.0", "airflow 16919, 21277", "integers"),
    (13, "json", "2^53 + 1, a key twice, an emoji; 70,000 bytes", "parsed and written anew; COPY fails",
     "airbyte 35985, 31216", "as the server writes it; too long: as declared"),
    (14, "enum-and-set", "an invalid ENUM, a SET of several", "index, or NULL", "", "the labels; '' beside NULL"),
    (15, "rare-types", "YEAR 0 and 1901, UUID, GEOMETRY", "unknown type, crash", "connector-x; airbyte 16574",
     "known, or refused by name before anything is read",
     ("core/test_mysql_types.py::test_a_type_without_a_line_has_no_way_through",)),
    (16, "bytes", "bytes 00 to FF, none at all", "text with replacement characters", "sling",
     "VARBYTE; none is not NULL", (f"{_TORTURE}bytes_that_spell_the_word_for_none_survive",)),
    (17, "time-zones", "a server whose time is not UTC; a clock's gap", "shifted by the offset", "",
     "TIMESTAMP in UTC, DATETIME as it is", (f"{_MYSQL}the_session_reads_only_and_is_pinned",)),
    (18, "empty-text", "'' beside NULL", "NULL", "airbyte 82729", "both survive"),
    (19, "null-words", r"the texts `\N`, `NULL`, `None`", "NULL", "artie 1153", "text",
     (f"{_REDSHIFT}the_null_token_is_never_a_text_of_the_data",
      "test_identity.py::test_a_value_that_is_the_null_token_survives_since_another_token_is_drawn")),
    (20, "blanks", "blanks alone, before, behind", "trimmed, or NULL", "target-redshift", "as they are"),
    (21, "nul-characters", "NUL inside text", "COPY fails, or text is cut", "target-redshift 405; snowplow 63",
     "the campaign stops, or what the document declares"),
    (22, "line-ends-and-quotes", "line ends, tabs, quotes, commas", "records split, columns shift",
     "spark-redshift 345; sling 306", "as they are", (f"{_MYSQL}any_text_arrives_as_it_is",)),
    (23, "backslashes", r"`C:\new`, a backslash at the end", "eaten", "target-redshift 8, 196", "as they are"),
    (24, "emoji", "characters of four bytes", "question marks", "", "as they are; utf8mb4 is asked for",
     (f"{_MYSQL}the_session_reads_only_and_is_pinned",)),
    (25, "bytes-and-characters", "30 characters of up to 4 bytes in VARCHAR(30)", "too long for VARCHAR(30)",
     "sling 539; aws-sdk-pandas 529", "VARCHAR(120)", (f"{_REDSHIFT}the_table_has_redshifts_types_and_the_datasets_keys",)),
    (26, "long-text", "text and bytes over 65,535 bytes", "the load fails, or the record is dropped",
     "airbyte 2889, 19990", "the campaign stops, or what the document declares; cut at a character"),
    (27, "encodings", "latin1, UTF-16, UTF-8 read as latin1", "question marks", "target-redshift 405",
     "the characters the server says"),
    (28, "column-names", "reserved words, capitals, blanks, quotes, 64 characters", "two columns become one", "dlt",
     "words of SQL are quoted; other names are refused with the remedy",
     (f"{_TYPES}names_that_differ_only_in_their_case_are_refused", f"{_SQL}names_that_are_words_of_sql_or_worse_are_quoted")),
    (29, "600-columns", "600 columns of VARCHAR(20)", "VARCHAR(MAX) each: out of memory", "dlt 2948; sqlmesh 2487",
     "VARCHAR(80) each", (f"{_TORTURE}600_texts_are_no_longer_in_redshift_than_they_may_be",)),
    (30, "large-records", "a record over 4 MB, 1,601 columns", "COPY fails late", "",
     "refused by name before COPY", (
         "test_transform.py::test_a_record_longer_than_copy_takes_is_named_before_anything_is_staged",
         f"{_TORTURE}more_columns_than_redshift_takes_are_refused_before_the_copy")),
    (31, "failed-copy", "COPY fails inside the load", "the table stays empty: TRUNCATE had committed",
     "airflow 14888; aws-sdk-pandas 676; dlt 2428", "the old slice stays; no TRUNCATE", (
         f"{_SQL}what_loses_data_or_commits_by_itself_stands_in_no_statement",
         f"{_REDSHIFT}a_text_too_long_for_redshift_names_file_line_column_value_and_record",
         f"{_CONTRACT}counts_that_differ_leave_slice_columns_and_ledger_as_they_were")),
    (32, "loads-at-once", "two loads of a table at once", "error 1023, in a loop", "aws-sdk-pandas 665; dbt-redshift 21",
     "one waits for the other; 1023 runs the transaction again", (
         f"{_CONTRACT}loads_of_one_key_at_once_leave_the_slice_of_the_last",
         f"{_CONTRACT}first_loads_of_different_keys_at_once_all_succeed",
         f"{_FAULTS}a_serialization_failure_runs_the_whole_transaction_again")),
    (33, "lost-commit", "a crash before COMMIT, or its answer is lost", "loaded twice, or in doubt", "spark-redshift 328",
     "the ledger, written in the same transaction, tells", (
         f"{_FAULTS}a_session_that_is_ended_leaves_the_old_slice_and_a_retry_loads",
         f"{_FAULTS}a_commit_that_was_not_answered_is_found_in_the_ledger",
         f"{_DUCKDB}a_crash_before_the_commit_leaves_slice_and_ledger_as_they_were",
         "systems/test_warehouse_sharing.py::test_a_process_killed_before_its_commit_leaves_the_old_slice")),
    (34, "foreign-files", "a file of another load under the prefix", "records doubled",
     "airbyte 10646; aws-sdk-pandas 474, 505", "only what the manifest lists, each once, by size and SHA-256", (
         f"{_CONTRACT}what_lies_beside_the_parts_of_a_load_is_not_loaded",
         f"{_CONTRACT}a_part_given_twice_leaves_the_old_slice",
         f"{_REDSHIFT}a_manifest_that_is_not_what_was_staged_stops_the_load")),
    (35, "missing-part", "a part missing, cut short or changed", "half a table, and success", "airbyte 10646, 4538, 26821",
     "the load stops and names the part", (
         f"{_CONTRACT}a_part_that_is_not_what_was_staged_stops_the_load",
         f"{_REDSHIFT}a_part_with_other_values_loads_and_is_found_out_before_the_commit",
         f"{_PIPELINE}a_stage_whose_counts_are_wrong_is_not_loaded")),
    (36, "emptied-key", "a key without records, or a query that broke", "stale records stay, or the table is wiped",
     "airbyte 73715, 39039; sling", ("empty only when the snapshot's COUNT(*) is 0, and somebody approved it or the dataset allows it;"
     " a guard holds a key that shrinks by more than it says"), (
         f"{_PIPELINE}a_key_that_is_empty_at_the_source_empties_its_slice_and_no_other_where_it_may",
         f"{_HELD}a_load_that_a_guard_holds_leaves_the_slice_and_fails_the_check",
         f"{_HELD}guards_are_those_of_the_dataset",
         f"{_PIPELINE}a_source_query_that_fails_leaves_the_old_slice")),
    (37, "hidden-load-error", "COPY meets a bad value", "check stl_load_errors", "airbyte 77643",
     "file, line, column, value and record are named", (
         f"{_REDSHIFT}a_text_too_long_for_redshift_names_file_line_column_value_and_record",
         f"{_REDSHIFT}a_load_error_is_found_where_there_are_only_stl_tables_or_only_sys_views")),
    (38, "idle-connection", "a long extract before the load", "the connection is dead at COPY", "sling 562",
     "connected when the load begins; lost ones are worth a retry", (
         f"{_FAULTS}nothing_is_connected_until_the_load_begins",
         f"{_FAULTS}a_session_that_is_ended_leaves_the_old_slice_and_a_retry_loads")),
    (39, "secrets", "keys in COPY, passwords in errors", "in the log", "boto 717",
     "COPY names a role; no error, log or resource shows a password", (
         f"{_SQL}every_copy_names_its_columns_reads_a_manifest_and_bears_no_error",
         f"{_LOGIN}a_wrong_password_is_permanent_names_the_user_and_shows_nothing",
         f"{_LOGIN}a_cluster_gives_a_user_that_lasts_for_minutes",
         f"{_MYSQL_LOGIN}the_password_is_shown_by_nothing_that_carries_it")),
    (40, "killed-stream", "MySQL ends the stream in the middle", "taken for the end of the data", "sling 242",
     "an error, and COUNT(*) must agree", tuple(f"{_MYSQL}{name}" for name in (
         "a_killed_connection_is_an_error_and_never_the_end", "a_killed_server_is_an_error_and_never_the_end",
         "a_stream_that_nobody_reads_is_cut_and_that_is_an_error"))),
    (41, "memory", "millions of cells", "out of memory", "airbyte 1582, 19779; sling 351",
     "streamed; ten times the records take no more memory",
     ("systems/test_source_mysql_memory.py::test_memory_does_not_grow_with_the_records",)),
    (42, "moving-source", "a record changes while keys are read", "one key has it old, the other new", "",
     "a consistent snapshot per key, or with `together` one for all keys of a refresh", (
         f"{_MYSQL}the_snapshot_does_not_move_while_others_write",
         "test_together.py::test_all_keys_are_read_as_of_one_moment")),
    (43, "half-a-registry", "DynamoDB pages, stale reads, decimals", "rules missing without a word", "boto3 966",
     "every page, consistent, of one revision", (
         f"{_DYNAMODB}every_page_is_read_also_after_one_without_items", f"{_DYNAMODB}every_read_is_consistent",
         "systems/test_registry_dynamodb_writes.py::test_a_reading_that_mixes_two_revisions_is_thrown_away",
         "core/test_registry_items.py::test_a_document_comes_back_exactly_as_it_was")),
    (44, "bad-rules", "an unknown column, a wrong type, a season that ends first", "the refresh fails at night", "",
     "refused when pushed; else its campaign alone fails and keeps its records", (
         "test_registry_sync.py::test_a_folder_that_is_not_valid_is_not_pushed",
         "core/test_rules.py::test_a_rule_that_does_not_fit_the_columns_is_named",
         "core/test_registry.py::test_a_bad_campaign_stops_only_itself_and_names_line_and_field",
         f"{_PIPELINE}rules_that_fail_leave_the_old_slice")),
)  # fmt: skip

TORTURE = tuple(TortureCase(*row) for row in _ROWS)
"""The table."""
