"""Random rule sets that fit the columns of a small extract, for property tests."""

from typing import Any

from hypothesis import strategies as st

COLUMNS = {"k": "bigint", "a": "integer", "b": "integer", "s": "text", "t": "text"}
KEY = ("k",)
TABLE: dict[str, Any] = {"columns": {"key": "text", "num": "integer", "word": "text"},
         "rows": [["x", 1, "one"], ["y", 2, "two"], ["1", 3, "three"]]}  # fmt: skip

Rules = list[dict[str, Any]]


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Return up to five rules of any kind, most of which fit the columns there are."""
    there = dict(COLUMNS)
    rules: Rules = []
    for number in range(draw(st.integers(1, 5))):
        rule = draw(_rule(there))
        if rule is not None:
            rules.append({"id": f"r{number}", **rule})
            there = _after(rule, there)
    return rules


def _after(rule: dict[str, Any], there: dict[str, str]) -> dict[str, str]:
    """Return the columns after a rule, with their types."""
    kinds = {"sum": "decimal(38,0)", "max": "integer"}
    match rule["kind"]:
        case "select":
            made = {name: there[name] for name in rule["columns"]}
        case "drop":
            made = {name: type_ for name, type_ in there.items() if name not in rule["columns"]}
        case "rename":
            made = {rule["columns"].get(name, name): type_ for name, type_ in there.items()}
        case "derive" | "cast":
            made = {**there, rule["column"]: rule["type"]}
        case "flag":
            made = {**there, "flags": "text"}
        case "lookup":
            made = {**there, **{n: TABLE["columns"][other] for n, other in rule["columns"].items()}}
        case "unpivot":
            kept = {name: type_ for name, type_ in there.items() if name not in rule["columns"]}
            made = {**kept, rule["name"]: "text", rule["value"]: there[rule["columns"][0]]}
        case "aggregate":
            figures = {n: kinds.get(m["function"], "bigint") for n, m in rule["metrics"].items()}
            made = {**{name: there[name] for name in rule["by"]}, **figures}
        case _:
            made = there
    return made


@st.composite
def _rule(draw: st.DrawFn, there: dict[str, str]) -> dict[str, Any] | None:
    """Return a rule over columns of these types; None when the one drawn does not fit."""
    numbers = [name for name, type_ in there.items() if type_ == "integer"]
    texts = [name for name, type_ in there.items() if type_ == "text"]
    every = list(there)
    if not numbers or not texts:
        return draw(st.sampled_from([
            {"kind": "dedupe", "keys": every[:1], "order": every[-1:]},
            {"kind": "assert", "not_null": every[:1], "on_failure": "reject"},
        ]))  # fmt: skip
    n, m = draw(st.sampled_from(numbers)), draw(st.sampled_from(numbers))
    s, t = draw(st.sampled_from(texts)), draw(st.sampled_from(texts))
    policy = draw(st.sampled_from(["fail", "reject", "null"]))
    some = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    new = draw(st.sampled_from(["d", "e", n, s]))
    choices: list[dict[str, Any]] = [
        {"kind": "select", "columns": list(dict.fromkeys([*some, n, s]))},
        {"kind": "drop", "columns": some[:1]} if len(every) > 3 else {"kind": "filter", "keep": f"{n} > 0"},
        {"kind": "rename", "columns": {n: m, m: n} if n != m else {s: f"{s}2"[:8]}},
        {"kind": "derive", "column": new, "type": "integer", "expression": f"{n} + 2 * {m}"},
        {"kind": "derive", "column": new, "type": "text", "on_error": policy,
         "expression": f"CASE WHEN {n} > 1 THEN {s} ELSE coalesce({t}, 'none') END"},
        {"kind": "derive", "column": new, "type": "integer", "on_error": policy,
         "expression": f"CAST({s} AS INTEGER)"},
        {"kind": "map", "column": s, "values": {"x": "mapped", "1": None},
         "unmapped": draw(st.sampled_from(["keep", "null", "reject"]))},
        {"kind": "filter", "keep": draw(st.sampled_from([f"{n} > 0", f"{s} = 'x' OR {m} IS NULL"]))},
        {"kind": "cast", "column": s, "type": "integer", "on_error": policy},
        {"kind": "normalize", "columns": [s], "case": "upper", "empty": "null"},
        {"kind": "normalize", "columns": [s], "number": {"decimal": ","}, "on_error": policy},
        {"kind": "dedupe", "keys": [n, s][: draw(st.integers(1, 2))], "order": [f"{m} desc"],
         "keep": draw(st.sampled_from(["first", "last"]))},
        {"kind": "lookup", "table": "ref", "on": {s: "key"},
         "columns": {draw(st.sampled_from(["u", t])): "word", n: "num"}, "missing": policy},
        {"kind": "fill", "column": n, "value": 9},
        {"kind": "fill", "column": n, "from": m},
        {"kind": "fill", "column": s, "previous": {"by": [n], "order": [m]}},
        {"kind": "unpivot", "columns": sorted({n, m}), "name": "what", "value": "much",
         "nulls": draw(st.sampled_from(["keep", "drop"]))},
        {"kind": "aggregate", "by": [s], "metrics": {
            "n": {"function": "count"}, "total": {"function": "sum", "column": n},
            "top": {"function": "max", "column": m}}},
        {"kind": "assert", "that": f"{n} < 4", "on_failure": draw(st.sampled_from(["reject", "warn", "fail"]))},
        {"kind": "assert", "accepted": {"column": s, "values": ["x", "y", ""]}, "on_failure": "reject"},
        {"kind": "assert", "sum": {"column": n, "max": "12"}},
        {"kind": "flag", "tag": "odd", "when": f"{n} > {m}"},
    ]  # fmt: skip
    chosen: dict[str, Any] = draw(st.sampled_from(choices))
    return chosen
