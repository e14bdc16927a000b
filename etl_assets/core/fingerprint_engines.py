"""How DuckDB, Redshift and MySQL compute the columns of a fingerprint."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from etl_assets.core import fingerprint as core
from etl_assets.core import fingerprint_groups as groups
from etl_assets.core.fingerprint_sql import Cell, Planner, Work

_ROOM = 28
"""Decimals of so many digits can be summed 10**10 times within 38 digits."""

_LOW_DIGITS = 18
_WINDOWS = range(-15, 15)
_GREATEST = (2 - 2**-52) * 2.0**1023


@dataclass(frozen=True)
class _Engine:
    """What is spelled differently; `{c}` is the value."""

    hash: str
    hashes: tuple[str, ...]
    null: str
    joined: str  # texts, by `separator`
    separator: str
    bytes: str  # their number
    halves: tuple[str, str]  # their digits
    days: str
    microseconds: str
    wide: bool  # whether sums of wide decimals need two parts
    bigint: str = ""  # this and what follows is for doubles
    double: str = ""
    literal: str = ""
    truncated: str = ""
    window: str = ""  # of a double by its exponent, where an engine shows that


def _halves(digits: str) -> tuple[str, str]:
    """Return the digits of the two halves of bytes; `at2` and `n2` count digits, not bytes."""
    first, rest = (1, groups.HALF_BYTES), (groups.HALF_BYTES + 1, groups.HALF_BYTES + 1)
    made = [digits.format(c="{c}", at=at, n=n, at2=2 * at - 1, n2=2 * n) for at, n in (first, rest)]
    return made[0], made[1]


_REVERSED = ["||".join(f"SUBSTRING({{c}},{at},2)" for at in ats)
             for ats in ((31, 29, 27, 25), (23, 21, 19, 17))]  # fmt: skip
_CLOCK = "CAST(TO_CHAR({c},'HH24MISSUS') AS BIGINT)"

_ENGINES = {
    "duckdb": _Engine(
        hash="CAST(md5_number({c}) >> 64 AS HUGEINT)",
        hashes=("{c}",),
        null="chr(30)",
        joined="concat({texts})",
        separator=",chr(31),",
        bytes="octet_length({c})",
        halves=_halves("substr(lower(hex({c})),{at2},{n2})"),
        days="CAST({c} - DATE '1970-01-01' AS BIGINT)",
        microseconds="epoch_us({c})",
        bigint="BIGINT",
        double="CAST({c} AS DOUBLE)",
        literal="{n}",
        truncated="trunc({c})",
        wide=True,
        window="(CAST(CAST(CAST(ABS({c}) AS BIT) AS UBIGINT) >> 52 AS BIGINT) + 67) // 72 - 15",
    ),
    "redshift": _Engine(
        hash="MD5({c})",
        hashes=tuple(f"STRTOL({text},16)" for text in _REVERSED),
        null="CHR(30)",
        joined="{texts}",
        separator="||CHR(31)||",
        bytes="OCTET_LENGTH({c})",
        halves=_halves("LOWER(TO_HEX(SUBSTRING({c},{at},{n})))"),
        days="CAST({c} - DATE '1970-01-01' AS BIGINT)",
        microseconds=(
            "CAST(CAST({c} AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000"
            f" + {_CLOCK} / 10000000000 * 3600000000"
            f" + {_CLOCK} / 100000000 % 100 * 60000000 + {_CLOCK} % 100000000"
        ),
        bigint="BIGINT",
        double="CAST({c} AS DOUBLE PRECISION)",
        literal="CAST('{n}' AS DOUBLE PRECISION)",
        truncated="TRUNC({c})",
        wide=True,
    ),
    "mysql": _Engine(
        hash="CAST(CONV(HEX(REVERSE(UNHEX(SUBSTR(MD5({c}),17)))),16,10) AS DECIMAL(20,0))",
        hashes=("{c}",),
        null="_utf8mb4 X'1E'",
        joined="CONCAT({texts})",
        separator=",_utf8mb4 X'1F',",
        bytes="LENGTH({c})",
        halves=_halves("CONVERT(LOWER(HEX(SUBSTR({c},{at},{n}))) USING utf8mb4)"),
        days="CAST(TO_DAYS({c}) - 719528 AS SIGNED)",
        microseconds="TIMESTAMPDIFF(MICROSECOND,'1970-01-01 00:00:00',{c})",
        wide=False,
    ),
}  # fmt: skip


def planner_of(engine: str) -> Planner:
    """Return how `duckdb`, `redshift` or `mysql` computes columns."""
    found = _ENGINES[engine]
    return Planner(partial(_column, found), partial(_group, found), partial(_any_double, found))


def halves(high: Decimal, low: Decimal, *, scale: int = 0) -> str:
    """Return high * 2**32 + low, both whole, with the point before `scale` of the digits."""
    return _scaled((int(high) << 32) + int(low), scale)


def _column(engine: _Engine, cell: Cell, c: str) -> Work:
    kind = cell.column.type
    if kind.name in ("real", "double"):
        return _double(engine, cell, c)
    if kind.name in ("date", "timestamp"):
        return _moment(engine, cell, c)
    if engine.wide and kind.precision > _ROOM:
        return _wide_decimal(cell, c)
    true = f"CASE WHEN {cell.sql} THEN 1 WHEN NOT {cell.sql} THEN 0 END"
    number = true if kind.name == "boolean" else cell.sql
    return Work(({c: number},), (c,), (f"SUM({c})",), _plain)


def _group(engine: _Engine, cells: Sequence[Cell], c: str) -> Work:
    values = {f"{c}v{number}": cell.sql for number, cell in enumerate(cells)}
    texts = [
        f"COALESCE({_text(engine, cell, name)},{engine.null})"
        for name, cell in zip(values, cells, strict=True)
    ]
    joined = engine.joined.format(texts=engine.separator.join(texts))
    levels = (values, {**{name: name for name in values}, c: engine.hash.format(c=joined)})
    totals = tuple(f"SUM({part.format(c=c)})" for part in engine.hashes)
    return Work(levels, tuple(values), totals, _plain if len(totals) == 1 else halves)


def _text(engine: _Engine, cell: Cell, c: str) -> str:
    if cell.column.type.name != "binary":
        return c
    first, rest = (half.format(c=c) for half in engine.halves)
    parts = engine.separator.join((f"MD5({first})", f"MD5({rest})"))
    long = engine.joined.format(texts=parts)
    is_short = f"{engine.bytes.format(c=c)} <= {groups.SHORT_BYTES}"
    return f"CASE WHEN {is_short} THEN {first} WHEN {c} IS NOT NULL THEN {long} END"


def _moment(engine: _Engine, cell: Cell, c: str) -> Work:
    number = engine.days if cell.column.type.name == "date" else engine.microseconds
    levels = ({c: number.format(c=cell.sql)}, {c: c, f"{c}r": f"{c} % {core.PRIME}"})
    return Work(levels, (c,), (f"SUM({c})", _squares(f"{c}r")), _added)


def _double(engine: _Engine, cell: Cell, c: str) -> Work:
    """Sum doubles that are all of window 0, which costs half; no total when one is not."""
    given, high, low = f"{c}g", f"{c}h", f"{c}l"
    at = engine.literal.format
    least, most = (at(n=_digits(core.least_of(window))) for window in (0, 1))
    ordinary = f"ABS({given}) < {most} AND (ABS({given}) >= {least} OR {given} = 0)"
    cut = engine.truncated.format(c=c)
    below = f"({c} - {cut}) * {at(n=_digits(2.0**core.HALF_BITS))}"
    levels = (
        {given: engine.double.format(c=cell.sql)},
        {given: given, c: f"CASE WHEN {ordinary} THEN {given} END"},
        {
            given: given,
            high: f"CAST({cut} AS {engine.bigint})",
            low: f"CAST({below} AS {engine.bigint})",
        },
    )
    totals = (f"COUNT({given}) - COUNT({high})", f"SUM({high})", f"SUM({low})")
    return Work(levels, (given,), totals, _ordinary_total)


def _any_double(engine: _Engine, cell: Cell, c: str) -> Work:
    """Cut doubles as `fingerprint.double_parts` does; each product with a power of 2 is exact."""
    k, high, low, rest = f"{c}k", f"{c}h", f"{c}l", f"{c}r"
    at = engine.literal.format
    half_window = core.WINDOW_BITS // 2
    power = f"POWER({at(n='2e0')}, -{half_window} * {k})"
    scaled = (
        f"CASE WHEN {k} = 0 THEN {c} WHEN {k} = {core.NOT_A_NUMBER} THEN {at(n='1e0')}"
        f" WHEN {k} = {core.INFINITE} THEN CASE WHEN {c} > 0 THEN {at(n='1e0')}"
        f" ELSE {at(n='-1e0')} END ELSE {c} * {power} * {power} END"
    )
    below = f"({c} - {high}) * {at(n=_digits(2.0**core.HALF_BITS))}"
    mixed = f"{high} % {core.PRIME} + {low} % {core.PRIME} + {k} * {core.WINDOW_WEIGHT}"
    mixed = f"CASE WHEN {k} <> 0 THEN {mixed} END"
    levels = (
        {c: engine.double.format(c=cell.sql)},
        {c: c, k: _window(engine, c)},
        {c: scaled, k: k},
        {c: c, k: k, high: engine.truncated.format(c=c)},
        {
            k: k,
            high: f"CAST({high} AS {engine.bigint})",
            low: f"CAST({below} AS {engine.bigint})",
        },
        {high: high, low: low, rest: mixed},
    )
    totals = (f"SUM({high})", f"SUM({low})", _squares(rest))
    return Work(levels, (high,), totals, _double_total)


def _window(engine: _Engine, c: str) -> str:
    at = engine.literal.format
    size = f"ABS({c})"

    def least(window: int) -> str:
        return at(n=_digits(core.least_of(window)))

    unbounded = (
        f"CASE WHEN ({c} > 0) = (-{c} > 0) THEN {core.NOT_A_NUMBER} ELSE {core.INFINITE} END"
    )
    cases = [
        f"{size} < {least(1)} AND ({size} >= {least(0)} OR {c} = 0) THEN 0",
        f"{c} IS NULL THEN NULL",
        f"NOT ({size} <= {at(n=_digits(_GREATEST))}) THEN {unbounded}",
    ]
    last = engine.window.format(c=c)
    if not last:  # from the smallest up: nothing but comparisons is exact everywhere
        cases += [f"{size} < {least(window + 1)} THEN {window}" for window in _WINDOWS[:-1]]
        last = str(_WINDOWS[-1])
    return f"CASE {' '.join(f'WHEN {case}' for case in cases)} ELSE {last} END"


def _wide_decimal(cell: Cell, c: str) -> Work:
    """Sum the digits in two parts: 38 of them leave no room for a sum."""
    sign, digits, high, low = f"{c}s", f"{c}d", f"{c}h", f"{c}l"
    bare = f"REPLACE(REPLACE(CAST({cell.sql} AS VARCHAR(41)),'-',''),'.','')"
    split = 38 - _LOW_DIGITS
    levels = (
        {sign: f"CASE WHEN {cell.sql} < 0 THEN -1 ELSE 1 END", digits: f"LPAD({bare},38,'0')"},
        {
            high: f"CAST(SUBSTRING({digits},1,{split}) AS DECIMAL(20,0)) * {sign}",
            low: f"CAST(SUBSTRING({digits},{split + 1},{_LOW_DIGITS}) AS BIGINT) * {sign}",
        },
    )
    totals = (f"SUM({high})", f"SUM({low})")
    return Work(levels, (high,), totals, partial(_joined, cell.column.type.scale))


def _squares(rest: str) -> str:
    return f"SUM({rest} * {rest})"


def _plain(total: Decimal) -> str:
    return format(total, "f")


def _added(total: Decimal, squares: Decimal) -> str:
    return str(int(total) + int(squares))


def _joined(scale: int, high: Decimal, low: Decimal) -> str:
    return _scaled(int(high) * 10**_LOW_DIGITS + int(low), scale)


def _ordinary_total(others: Decimal, high: Decimal, low: Decimal) -> str | None:
    return None if others else _double_total(high, low, Decimal(0))


def _double_total(high: Decimal, low: Decimal, squares: Decimal) -> str:
    return str(core.double_total(int(high), int(low), int(squares)))


def _scaled(number: int, scale: int) -> str:
    digits = str(abs(number)).rjust(scale + 1, "0")
    point = len(digits) - scale
    return f"{'-' if number < 0 else ''}{digits[:point]}.{digits[point:]}"


def _digits(value: float) -> str:
    return f"{value:.17e}"
