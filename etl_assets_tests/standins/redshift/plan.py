"""What the proxy does for a statement."""

from __future__ import annotations

from dataclasses import dataclass

from etl_assets_tests.standins.redshift.alter_table import alter_table
from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.copy_grammar import parse_copy
from etl_assets_tests.standins.redshift.create_table import create_table
from etl_assets_tests.standins.redshift.cursor import Cursor
from etl_assets_tests.standins.redshift.ddl import TableAttributes, table_name
from etl_assets_tests.standins.redshift.errors import (
    SqlError,
    not_emulated,
    syntax_error,
    unsupported,
)
from etl_assets_tests.standins.redshift.keywords import (
    EMULATED_ELSEWHERE,
    FOREIGN_PARAMETERS,
    OBJECTS,
    PARAMETERS,
    REDSHIFT_ONLY_OBJECTS,
    STATEMENTS,
)
from etl_assets_tests.standins.redshift.late_views import create_late_view, is_late_view
from etl_assets_tests.standins.redshift.lexer import Edits, Statement, split_statements
from etl_assets_tests.standins.redshift.rules import rewrite, top_level_word
from etl_assets_tests.standins.redshift.unload_command import UnloadCommand, parse_unload

_COPY_FUNCTIONS = ("pg_last_copy_count", "pg_last_copy_id", "pg_last_unload_count")
# Described as a statement without rows, so that a driver that prepares COPY learns the right thing.
_PLACEHOLDER = "DO ''"


@dataclass
class Plan:
    """How to run a statement on PostgreSQL.

    Attributes:
        sql: The statement in PostgreSQL's words.
        lock: The table whose write lock comes first, as SQL text.
        copy: The command, for a COPY.
        unload: The command, for an UNLOAD.
        select: Its query in PostgreSQL's words.
        tag: The command tag to report instead of PostgreSQL's.
        table: The table to note storage attributes for, as SQL text.
        attributes: Those attributes.
        truncates: Whether the statement commits its transaction.
        outside_block: Why it cannot run inside a transaction block, empty if it can.
        controls: Whether it begins or ends a transaction.
        reads_copy_state: Whether it asks for the last COPY of the session.
    """

    sql: str
    lock: str = ""
    copy: CopyCommand | None = None
    unload: UnloadCommand | None = None
    select: str = ""
    tag: str = ""
    table: str = ""
    attributes: TableAttributes | None = None
    truncates: bool = False
    outside_block: str = ""
    controls: bool = False
    reads_copy_state: bool = False

    @property
    def needs_block(self) -> bool:
        """Whether it takes more than one statement, which must be one transaction."""
        return (bool(self.lock) and not self.truncates) or self.unload is not None


def plan_statement(statement: Statement, isolation: str) -> Plan:
    """Decide how to run a statement.

    Args:
        statement: The statement as the client sent it.
        isolation: PostgreSQL's isolation level for the cluster's.

    Raises:
        SqlError: If a cluster would refuse it, or the stand-in does not emulate it.
    """
    first = statement.tokens[0]
    word = first.text.upper()
    if first.is_word("COPY"):
        command = parse_copy(statement.tokens)
        return Plan(_PLACEHOLDER, command.table, command, tag="COPY")
    if first.is_word("UNLOAD"):
        return _unload(statement, isolation)
    if first.is_word(*EMULATED_ELSEWHERE):
        raise not_emulated(word)
    if first.is_word("SAVEPOINT", "RELEASE"):
        raise unsupported(f'SQL command "{statement.text.strip()}"')
    if first.text != "(" and (first.kind != "word" or word not in STATEMENTS):
        raise syntax_error(first.text)
    statement = rewrite(statement)
    if word in ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"):
        return _transaction(statement, word)
    if word in ("SET", "RESET", "SHOW"):
        return _parameter(statement, word, isolation)
    handler = _HANDLERS.get(word)
    plan = handler(statement) if handler else Plan(statement.text)
    functions = {t.value for t in statement.tokens if t.is_name}
    plan.reads_copy_state = any(f in functions for f in _COPY_FUNCTIONS)
    return plan


def _unload(statement: Statement, isolation: str) -> Plan:
    command = parse_unload(statement.tokens)
    (query,) = split_statements(command.select)
    if not query.tokens[0].is_word("SELECT", "WITH"):
        raise syntax_error(query.tokens[0].text)
    if top_level_word(query.tokens, "LIMIT") >= 0:
        raise unsupported("LIMIT clause in UNLOAD")
    select = plan_statement(query, isolation).sql
    return Plan(_PLACEHOLDER, unload=command, select=select, tag="UNLOAD")


def _transaction(statement: Statement, word: str) -> Plan:
    texts = [t.text.upper() for t in statement.tokens]
    if word in ("BEGIN", "START"):
        # A cluster accepts every isolation level and uses the database's own.
        read_only = " READ ONLY" if "ONLY" in texts else ""
        return Plan(f"BEGIN{read_only}", controls=True)
    if len(texts) > 1 and texts[1:] not in (["WORK"], ["TRANSACTION"]):
        raise unsupported(f'SQL command "{statement.text.strip()}"')
    return Plan(statement.text, controls=True)


def _parameter(statement: Statement, word: str, isolation: str) -> Plan:
    cursor = Cursor(statement.tokens[1:])
    scope = cursor.take_word("SESSION", "LOCAL") if word == "SET" else ""
    token = cursor.peek()
    name = token.value if token else ""
    if token is None or name in ("transaction", "characteristics"):
        level = top_level_word(statement.tokens, "LEVEL")
        if level < 0 or word == "SHOW":
            return Plan(statement.text)
        head = "SESSION CHARACTERISTICS AS" if scope == "SESSION" else ""
        return Plan(f"SET {head} TRANSACTION ISOLATION LEVEL {isolation}")
    if name in FOREIGN_PARAMETERS:
        raise SqlError("42704", f'unrecognized configuration parameter "{name}"')
    if name == "enable_case_sensitive_identifier" and word == "SET":
        values = {t.value for t in statement.tokens[2:]}
        if values & {"true", "on", "1"}:
            raise not_emulated("SET enable_case_sensitive_identifier")
    if word == "SHOW" and name == "server_version":
        return Plan("SELECT '8.0.2'::text AS server_version", tag="SHOW")
    if name in PARAMETERS or name == "enable_case_sensitive_identifier":
        text = statement.text
        return Plan(f"{text[: token.start]}redshift.{text[token.start :]}")
    return Plan(statement.text)


def _target(statement: Statement, start: int) -> str:
    """Return the table named at a token, as SQL text."""
    return table_name(Cursor(statement.tokens[start:]))


def _insert(statement: Statement) -> Plan:
    cursor = Cursor(statement.tokens)
    cursor.take()
    if not cursor.take_word("INTO"):
        raise cursor.fail()
    return Plan(statement.text, table_name(cursor))


def _update(statement: Statement) -> Plan:
    return Plan(statement.text, _target(statement, 1))


def _delete(statement: Statement) -> Plan:
    if len(statement.tokens) > 1 and statement.tokens[1].is_word("FROM"):
        return Plan(statement.text, _target(statement, 2))
    # Redshift lets FROM be left out.
    end = statement.tokens[0].end
    return Plan(f"DELETE FROM {statement.text[end:]}", _target(statement, 1))


def _with(statement: Statement) -> Plan:
    tokens = statement.tokens
    for index, token in enumerate(tokens):
        inside = index > 0 and tokens[index - 1].text == "("
        if inside and token.is_word("INSERT", "UPDATE", "DELETE", "MERGE"):
            raise syntax_error(token.text)
    index = top_level_word(tokens, "INSERT", "UPDATE", "DELETE", "SELECT")
    if index < 0 or tokens[index].is_word("SELECT"):
        return Plan(statement.text)
    skip = 1 if tokens[index].is_word("UPDATE") else 2
    return Plan(statement.text, _target(statement, index + skip))


def _truncate(statement: Statement) -> Plan:
    cursor = Cursor(statement.tokens[1:])
    cursor.take_word("TABLE")
    name = table_name(cursor)
    if cursor.peek() is not None:
        raise cursor.fail()
    return Plan(f"TRUNCATE TABLE {name}", truncates=True)


def _lock(statement: Statement) -> Plan:
    cursor = Cursor(statement.tokens[1:])
    cursor.take_word("TABLE")
    names = [table_name(cursor)]
    while cursor.take_op(","):
        names.append(table_name(cursor))
    if cursor.peek() is not None:
        raise cursor.fail()
    return Plan(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")


def _create(statement: Statement) -> Plan:
    cursor = Cursor(statement.tokens[1:])
    if cursor.take_word("OR") and not cursor.take_word("REPLACE"):
        raise cursor.fail()
    token = cursor.take()
    word = token.text.upper()
    if word in REDSHIFT_ONLY_OBJECTS:
        raise not_emulated(f"CREATE {word}")
    if word not in OBJECTS:
        raise unsupported(f'SQL command "CREATE {word}"')
    if word in ("TABLE", "TEMP", "TEMPORARY", "LOCAL"):
        created = create_table(statement)
        return Plan(created.sql, table=created.table, attributes=created.attributes)
    if word == "VIEW" and is_late_view(statement):
        return Plan(create_late_view(statement), tag="CREATE VIEW")
    return Plan(statement.text)


def _alter(statement: Statement) -> Plan:
    token = statement.tokens[1] if len(statement.tokens) > 1 else None
    if token is None or not token.is_word("TABLE"):
        if token is not None and token.text.upper() not in OBJECTS | {"DEFAULT"}:
            raise unsupported(f'SQL command "ALTER {token.text.upper()}"')
        return Plan(statement.text)
    altered = alter_table(statement)
    reason = "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"
    return Plan(
        altered.sql, tag="ALTER TABLE", outside_block=reason if altered.outside_block else ""
    )


def _drop(statement: Statement) -> Plan:
    token = statement.tokens[1] if len(statement.tokens) > 1 else None
    if token is not None and token.text.upper() not in OBJECTS:
        raise unsupported(f'SQL command "DROP {token.text.upper()}"')
    return Plan(statement.text)


def _maintain(statement: Statement) -> Plan:
    """Rewrite VACUUM and ANALYZE, whose options are Redshift's own."""
    cursor = Cursor(statement.tokens)
    word = cursor.take().text.upper()
    if cursor.take_word("COMPRESSION"):
        raise not_emulated("ANALYZE COMPRESSION")
    kind = cursor.take_word("FULL", "SORT", "DELETE", "REINDEX", "RECLUSTER")
    if kind in ("SORT", "DELETE") and not cursor.take_word("ONLY"):
        raise cursor.fail()
    following = cursor.peek()
    named = following is not None and not following.is_word("PREDICATE", "ALL")
    return Plan(f"{word} {table_name(cursor) if named else ''}")


def _comment(statement: Statement) -> Plan:
    """Rewrite COMMENT ON VIEW, whose views keep their text where PostgreSQL keeps comments."""
    cursor = Cursor(statement.tokens[1:])
    if not (cursor.take_word("ON") and cursor.take_word("VIEW")):
        return Plan(statement.text)
    name = table_name(cursor)
    if not cursor.take_word("IS"):
        raise cursor.fail()
    call = f"redshift_standin.comment_late_view('{name}', {cursor.take().text})"
    return Plan(
        f"DO $redshift_standin$ BEGIN PERFORM {call}; END $redshift_standin$", tag="COMMENT"
    )


def _grant(statement: Statement) -> Plan:
    """Leave out the word ROLE before a name, which PostgreSQL does not have there."""
    edits = Edits(statement.text)
    for token in statement.tokens[1:]:
        if token.is_word("ROLE"):
            edits.replace(token.start, token.end, "")
    return Plan(edits.apply())


_HANDLERS = {
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "MERGE": _insert,
    "WITH": _with,
    "TRUNCATE": _truncate,
    "LOCK": _lock,
    "CREATE": _create,
    "ALTER": _alter,
    "DROP": _drop,
    "COMMENT": _comment,
    "GRANT": _grant,
    "REVOKE": _grant,
    "VACUUM": _maintain,
    "ANALYZE": _maintain,
}
