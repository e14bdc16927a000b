"""A first contract from a sample: what its author would otherwise have to count.

Each guess is held to the sample by the same functions that a load reads with.
"""

import datetime as dt
import itertools
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from etl_assets.core.columns import ColumnType
from etl_assets.core.inputs.contract import INPUT_COLUMNS, parse_contract
from etl_assets.core.rules.normalize import Signs
from etl_assets.inputs.sampling import Sample, read_sample
from etl_assets.inputs.values import PLAIN, parse, plain_text

_SIGNS = (
    PLAIN,
    Signs(decimal=".", group=","),
    Signs(decimal=",", group="."),
    Signs(decimal=",", group=" "),
    Signs(decimal=",", group=""),
    Signs(decimal=".", group="'"),
)
_DATES = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%y",
    "%m/%d/%y", "%d %b %Y", "%Y%m%d",
)  # fmt: skip
_NULLS = ("NULL", "null", "N/A", "n/a", "NA", "#N/A", "None", "nan", "NaN", "\\N", "-", "?")
_ROOM = 1.5
_STEPS = (10, 20, 40, 60, 100, 200, 400, 700, 1000)
_MOST_FRACTION = 8
_MOST_KEY = 3
_KEY_COLUMNS = 12
_ROW_BYTES = 40_000
_CHARACTER_BYTES = 4
_KEY_CHARACTERS = 700
_IS_KEY = re.compile(r"(^|_)(id|no|nr|key|code|number|nummer)($|_)")
_NUMBER = ColumnType("decimal", 38, 10)
_DATE_LIKE = re.compile(r"^\d{1,4}\W?\w{1,9}\W?\d{1,4}(\D.{0,30})?$")
_LIKE = {
    "date": _DATE_LIKE,
    "timestamp": _DATE_LIKE,
    "number": re.compile(r"^[+\u2212-]?[\d.,].{0,60}$"),
}
_DIGITS = re.compile(r"^[+-]?0*(\d*)(?:\.(\d*))?$")
_CENTS = 2


@dataclass
class _Guess:
    """What a column seems to be."""

    type: ColumnType
    dates: tuple[str, ...] = ()
    nulls: set[str] = field(default_factory=set)
    note: str = ""


def infer(path: Path, source: str) -> str:
    """Return the text of a contract that the file can be loaded by.

    Args:
        path: A file of the source.
        source: The source's name.

    Raises:
        BadFileError: When the file cannot be read, or has no headers.
        DocumentError: When the name is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        sample = read_sample(path, Path(folder))
    nested = [
        header for header, values in sample.columns.items() if not all(map(_is_plain, values))
    ]
    for header in nested:
        del sample.columns[header]
    names = _names(sample.columns)
    signs = _signs(sample)
    guesses = {
        names[header]: _guess(values, signs, header) for header, values in sample.columns.items()
    }
    columns = {names[header]: values for header, values in sample.columns.items()}
    key, note = _key(columns, guesses)
    _fit_row(guesses, key)
    text = _written(source, sample, {v: k for k, v in names.items()}, guesses, key, note, signs)
    text += "".join(f"  # {header!r} is left out: it holds lists or objects\n" for header in nested)
    parse_contract(text, f"{source}.yaml")
    return text


def source_name(path: Path) -> str:
    """Return a name for a source from a file's name: `2017-01 Orders.csv.gz` is `orders`."""
    stem = path.name.partition(".")[0]
    return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_0123456789")[:54] or "source"


def _names(headers: Iterable[str]) -> dict[str, str]:
    """Return column names for headers: lower case, digits and `_`, each once."""
    names: dict[str, str] = {}
    for number, header in enumerate(headers, 1):
        plain = unicodedata.normalize("NFKD", header.replace("ß", "ss")).encode("ascii", "ignore")
        name = re.sub(r"[^a-z0-9]+", "_", plain.decode().lower()).strip("_")[:50]
        if not name or not name[0].isalpha() or name in INPUT_COLUMNS:
            name = f"column_{name or number}"
        while name in names.values():
            name = f"{name}_{number}"
        names[header] = name
    return names


def _texts(values: Sequence[object]) -> list[str]:
    """Return what is there, as texts without blanks around them."""
    made = [v if isinstance(v, str) else plain_text(v, _NUMBER) for v in values if v is not None]
    return [text for one in made if one is not None and (text := one.strip())]


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str) or plain_text(value, _NUMBER) is not None


def _fits(
    texts: Sequence[str], kind: ColumnType, signs: Signs = PLAIN, formats: Sequence[str] = ()
) -> bool:
    """Return whether every text is a value of a type, as a load would read it."""
    if not _LIKE[kind.name if kind.name in _LIKE else "number"].match(texts[0]):
        return False  # at once: most columns hold none
    series = pd.Series(list(texts), dtype="str")
    return not parse(series, kind, signs, tuple(formats) or None)[1]


def _signs(sample: Sample) -> Signs:
    """Return the signs by which most columns hold numbers; the plain ones where it is equal."""
    columns = [
        [text for text in _texts(values) if text not in _NULLS]
        for values in sample.columns.values()
        if all(value is None or isinstance(value, str) for value in values)
    ]
    return max(_SIGNS, key=lambda signs: sum(bool(c) and _fits(c, _NUMBER, signs) for c in columns))


def _guess(values: Sequence[object], signs: Signs, header: str) -> _Guess:
    """Return what a column seems to be; a text where nothing else fits."""
    is_text = all(value is None or isinstance(value, str) for value in values)
    every = _texts(values)
    texts = [text for text in every if text not in _NULLS]
    if not is_text and all(_is_midnight(value) for value in values if value is not None):
        return _Guess(ColumnType("date"))  # a workbook has dates as times
    found = _typed(texts, signs if is_text else PLAIN, header) if texts else None
    if found is not None:
        found.nulls = set(every) & set(_NULLS)
        return found
    return _Guess(_text_type(every))


def _is_midnight(value: object) -> bool:
    return isinstance(value, dt.datetime) and value.time() == dt.time()


def _typed(texts: Sequence[str], signs: Signs, header: str) -> _Guess | None:
    words = {text.lower() for text in texts}
    if words <= {"true", "false"} or words <= {"yes", "no"} or words <= {"y", "n"}:
        return _Guess(ColumnType("boolean"))
    if dates := _dates(texts, header):
        return dates
    has_code = any(re.match(r"^[+-]?0\d", text) for text in texts)
    if not has_code and _fits(texts, _NUMBER, signs):
        return _Guess(_number_type(texts, signs))
    is_double = not has_code and _fits(texts, ColumnType("double"), signs)
    return _Guess(ColumnType("double")) if is_double else None


def _dates(texts: Sequence[str], header: str) -> _Guess | None:
    fits = []
    is_date = not any(":" in text for text in texts)
    for written in _DATES:
        if written == "%Y%m%d" and not re.search(r"date|day|datum|tag|jour", header.lower()):
            continue
        for kind in ("date", "timestamp") if is_date else ("timestamp",):
            if _fits(texts[:200], ColumnType(kind), formats=(written,)) and _fits(
                texts, ColumnType(kind), formats=(written,)
            ):
                fits.append((kind, written))
                break
    if not fits:
        return None
    kind, written = fits[0]
    others = [other for _, other in fits[1:] if {written[1], other[1]} == {"d", "m"}]
    note = f"or {others[0]}? The sample fits both" if others else ""
    return _Guess(ColumnType(kind), dates=(written,), note=note)


def _number_type(texts: Sequence[str], signs: Signs) -> ColumnType:
    whole = fraction = 0
    for text in texts:
        plain = text.replace("\u2212", "-")
        for blank in {signs.group, "\u00a0", "\u202f"} if signs.group else ():
            plain = plain.replace(blank, "")
        match = _DIGITS.match(plain.replace(" ", "").replace(signs.decimal, "."))
        if match:
            whole, fraction = max(whole, len(match[1])), max(fraction, len(match[2] or ""))
    if fraction > _MOST_FRACTION:
        return ColumnType("double")
    if fraction:
        scale = max(fraction, _CENTS)
        return ColumnType("decimal", min(38, max(whole + 2 + scale, 12)), scale)
    for name, digits in (("integer", 8), ("bigint", 17)):
        if whole <= digits:
            return ColumnType(name)
    return ColumnType("decimal", 38, 0)


def _text_type(texts: Sequence[str]) -> ColumnType:
    longest = max(map(len, texts), default=1)
    room = next((step for step in _STEPS if step >= longest * _ROOM), None)
    return ColumnType("varchar", room) if room else ColumnType("text")


def _key(
    columns: Mapping[str, Sequence[object]], guesses: Mapping[str, _Guess]
) -> tuple[list[str], str]:
    """Return columns that together name each row of the sample, and a note where none do."""
    able = [
        name for name, values in columns.items()
        if guesses[name].type.name not in ("text", "double")
        and guesses[name].type.precision <= _KEY_CHARACTERS
        and all(v is not None and str(v).strip() and str(v).strip() not in guesses[name].nulls
                for v in values)
    ]  # fmt: skip
    able.sort(key=lambda name: not _IS_KEY.search(name))
    frame = pd.DataFrame({name: [str(v).strip() for v in columns[name]] for name in able})
    for count in range(1, _MOST_KEY + 1):
        for names in itertools.combinations(able[:_KEY_COLUMNS], count):
            size = sum(guesses[name].type.precision for name in names)
            if size <= _KEY_CHARACTERS and not frame.duplicated(list(names)).any():
                return list(names), ""
    fallback = able[:1] or [next(iter(columns))]
    guess = guesses[fallback[0]]
    if guess.type.name in ("text", "double") or guess.type.precision > _KEY_CHARACTERS:
        guess.type = ColumnType("varchar", _KEY_CHARACTERS)
    return fallback, "no columns name each row of the sample: name those that do"


def _fit_row(guesses: Mapping[str, _Guess], key: Sequence[str]) -> None:
    """Declare the longest texts as `text` until a row of MySQL holds them all."""
    texts = [g for name, g in guesses.items() if g.type.name == "varchar" and name not in key]
    texts.sort(key=lambda guess: guess.type.precision)
    while sum(guess.type.precision for guess in texts) * _CHARACTER_BYTES > _ROW_BYTES:
        texts.pop().type = ColumnType("text")


def _written(
    source: str, sample: Sample, headers: Mapping[str, str], guesses: Mapping[str, _Guess],
    key: Sequence[str], note: str, signs: Signs,
) -> str:  # fmt: skip
    """Return the contract as YAML, with what is uncertain beside it."""
    dates = [*dict.fromkeys(f for g in guesses.values() for f in g.dates if f != _DATES[0])]
    nulls = sorted({text for guess in guesses.values() for text in guess.nulls})
    lines = [f"source: {_scalar(source)}", "description: ''"]
    lines += [f"{name}: {_scalar(value)}" for name, value in sample.settings.items()]
    lines.append(f"primary_key: [{', '.join(map(_scalar, key))}]" + (f"  # {note}" if note else ""))
    if signs != PLAIN:
        lines.append(
            f"number: {{decimal: {_scalar(signs.decimal)}, group: {_scalar(signs.group)}}}"
        )
    if nulls:
        lines.append(f"null_values: [{', '.join(map(_scalar, nulls))}]")
    lines.append("columns:")
    for name, guess in guesses.items():
        parts = [f"type: {_scalar(str(guess.type))}"]
        if headers[name] != name:
            parts.append(f"header: {_scalar(headers[name])}")
        if guess.dates and guess.dates[0] in dates:
            parts.append(f"date: [{_scalar(guess.dates[0])}]")
        comment = f"  # {guess.note}" if guess.note else ""
        lines.append(f"  {_scalar(name)}: {{{', '.join(parts)}}}{comment}")
    return "\n".join(lines) + "\n"


def _scalar(value: object) -> str:
    """Return a value as YAML has it within a line."""
    text = yaml.safe_dump(
        [value], default_flow_style=True, allow_unicode=True, width=1 << 20, sort_keys=False
    )
    return text.strip().removeprefix("[").removesuffix("]")
