"""Errors the stand-in reports to its clients, in the words a cluster would use."""

from __future__ import annotations


class SqlError(Exception):
    """An error that reaches the client as an ErrorResponse.

    Attributes:
        sqlstate: The five-character SQLSTATE.
        message: The primary message.
        detail: The detail line, empty for none.
        hint: The hint line, empty for none.
    """

    def __init__(self, sqlstate: str, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint


def syntax_error(near: str) -> SqlError:
    """Return the syntax error PostgreSQL and Redshift raise at a token.

    Args:
        near: The token's text, empty for the end of the statement.
    """
    if not near:
        return SqlError("42601", "syntax error at end of input")
    return SqlError("42601", f'syntax error at or near "{near}"')


def unsupported(what: str, hint: str = "") -> SqlError:
    """Return the error for a feature Redshift does not have.

    Args:
        what: The feature, as the start of a sentence.
        hint: What to do instead.
    """
    return SqlError("0A000", f"{what} is not supported.", hint=hint)


def not_emulated(what: str) -> SqlError:
    """Return the error for what a cluster can do and the stand-in cannot.

    Args:
        what: The feature, as the start of a sentence.
    """
    return SqlError(
        "0A000",
        f"{what} is valid on Redshift but not emulated by this stand-in.",
        hint="See the README beside the stand-in's code.",
    )


def load_failed(table: str) -> SqlError:
    """Return the error of a COPY whose data did not load.

    Args:
        table: The table's name as the client wrote it.
    """
    return SqlError(
        "XX000",
        f"Load into table '{table}' failed.  "
        "Check 'sys_load_error_detail' system table for details.",
    )


def serializable_violation(table_id: int, first: int, second: int, pid: int) -> SqlError:
    """Return Redshift's error 1023.

    Args:
        table_id: The table's identifier, 0 when it is not known.
        first: The transaction that won.
        second: The transaction that failed.
        pid: The failing session's process identifier.
    """
    return SqlError(
        "XX000",
        "1023",
        f"Serializable isolation violation on table - {table_id}, "
        f"transactions forming the cycle are: {first}, {second} (pid:{pid})",
    )
