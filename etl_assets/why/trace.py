"""Follow one record through compiled rules, and note what each did to one of its columns."""

from collections.abc import Mapping, Sequence

from etl_assets.core.errors import PermanentError
from etl_assets.core.rules.columns_used import (
    columns_before,
    columns_looked_at,
    columns_set,
    identity_after,
    matching,
    reason,
    says,
)
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.kinds import Aggregate, Fill, Rename, Unpivot
from etl_assets.core.rules.traces import End, LeftOut, Source, Touch, Trace
from etl_assets.why.trace_steps import Row, Steps, Stop


def trace(
    steps: Steps, primary_key: Sequence[str], given: Mapping[str, str], column: str
) -> Trace | None:
    """Follow the record of a name; None when there is none.

    Args:
        steps: The rules.
        primary_key: Names a record of the extract.
        given: Names the record: its primary key, or the group of an aggregate; and a column
            that an unpivot makes, where only one of its records is meant.
        column: The column of the result that is asked about.

    Raises:
        PermanentError: When there is no such column, or what names the record does not.
        duckdb.Error: When a value cannot be computed.
    """
    there = [c.name for c in steps.columns(steps.last)]
    if column not in there:
        raise PermanentError(
            f"There is no column `{column}` after the rules{nearest(column, there)}.",
            f"Columns are {', '.join(there)}.",
        )
    return _Walk(steps, primary_key, given, column).walk()


class _Walk:
    def __init__(
        self, steps: Steps, primary_key: Sequence[str], given: Mapping[str, str], column: str
    ) -> None:
        self.steps = steps
        self.stops = steps.stops
        self.primary_key = tuple(primary_key)
        self.given = given
        self.touches: list[Touch] = []
        self.ends: list[End] = []
        self.wanted: list[tuple[str, ...]] = [(column,)]
        """Before each rule, and after the last, the columns that the wanted one is made of."""
        for stop in reversed(self.stops):
            before = columns_before(stop.rule, self.wanted[0], self._names(stop))
            self.wanted.insert(0, before)

    def walk(self) -> Trace | None:
        first, keys = self._start()
        place = self.stops[first - 1].after if first else (0, 0)
        self.steps.begin()
        self.steps.narrow(place[0], {name: self.given[name] for name in keys})
        rows = self.steps.rows(place, self._needed(first))
        if not rows:
            return None
        if first:
            sources = [
                Source(row.record, dict.fromkeys(self.wanted[0]), self.steps.members(place[0], row.number))
                for row in rows
            ]  # fmt: skip
            for row in rows:
                self._note(first - 1, None, row)
        else:
            sources = [Source(r.record, {n: r.values[n] for n in self.wanted[0]}) for r in rows]
        for number in range(first, len(self.stops)):
            rows = self._pass(number, rows)
        self.ends += [End(row.record, row.values) for row in rows]
        identity: tuple[str, ...] | None = self.primary_key
        for stop in self.stops:
            identity = identity_after(stop.rule, identity, self._names(stop))
        return Trace(tuple(sources), tuple(self.touches), tuple(self.ends), identity)

    def _start(self) -> tuple[int, tuple[str, ...]]:
        """Return the number of the first rule that the named record meets, and what names it."""
        names = set(self.given)
        rules = [stop.rule for stop in self.stops]
        added = {rule.name for rule in rules if isinstance(rule, Unpivot)}
        groups = [(n, r.by) for n, r in enumerate(rules, 1) if isinstance(r, Aggregate)]
        for number, keys in [(0, self.primary_key), *reversed(groups)]:
            if set(keys) <= names and names - set(keys) <= added:
                return number, keys
        ways = [self.primary_key, *(by for _, by in groups)]
        listed = " or by ".join(", ".join(way) for way in ways)
        more = f", also by {', '.join(sorted(added))}" if added else ""
        raise PermanentError(
            f"Records are named by {listed}{more}; not by {', '.join(self.given)}.",
            f"Write --id '{','.join(f'{name}=VALUE' for name in ways[0])}'.",
        )

    def _names(self, stop: Stop) -> list[str]:
        return [c.name for c in self.steps.columns(stop.before)]

    def _needed(self, number: int) -> list[str]:
        """Return the columns to look at before a rule, or after the last: all of them."""
        if number == len(self.stops):
            return [c.name for c in self.steps.columns(self.steps.last)]
        stop = self.stops[number]
        names = self._names(stop)
        own = [name for name in self.wanted[number + 1] if name in names]
        looked_at = columns_looked_at(stop.rule, names)
        return list(dict.fromkeys([*self.wanted[number], *looked_at, *own]))

    def _pass(self, number: int, rows: Sequence[Row]) -> list[Row]:
        """Let records pass a rule; return those that come out, and note what it did to them."""
        stop = self.stops[number]
        rule = stop.rule
        names = self._needed(number + 1)
        if isinstance(rule, Aggregate):
            self.steps.narrow_to_groups(stop.after[0])
            names += [name for name in rule.by if name not in names]
        elif isinstance(rule, Unpivot) and rule.name not in names:
            names.append(rule.name)
        after = self.steps.rows(stop.after, names)
        passed: dict[int, Row] = {}
        for before in rows:
            made = [row for row in after if self._comes_of(stop, before, row)]
            if not made:
                self._leave_out(stop, before, None)
            for row in made:
                if row.out is not None:
                    self._leave_out(stop, before, row)
                elif self._is_meant(stop, row) and row.number not in passed:
                    self._note(number, before, row)
                    passed[row.number] = row
        if isinstance(rule, Unpivot) and after and not passed and not self.ends:
            found = sorted({str(row.values[rule.name]) for row in after})
            raise PermanentError(
                f"The record has no {rule.name}={self.given[rule.name]}.",
                f"Write one of {', '.join(found)}.",
            )
        return list(passed.values())

    def _comes_of(self, stop: Stop, before: Row, after: Row) -> bool:
        """Return whether one record was made of another by a rule."""
        rule = stop.rule
        if isinstance(rule, Aggregate):
            return all(before.values[name] == after.values[name] for name in rule.by)
        if isinstance(rule, Unpivot):
            return after.number // len(matching(rule.columns, self._names(stop))) == before.number
        return after.number == before.number

    def _is_meant(self, stop: Stop, row: Row) -> bool:
        rule = stop.rule
        if not isinstance(rule, Unpivot) or rule.name not in self.given:
            return True
        return row.values[rule.name] == self.given[rule.name]

    def _leave_out(self, stop: Stop, before: Row, row: Row | None) -> None:
        looked_at = columns_looked_at(stop.rule, self._names(stop))
        out = (row and row.out) or {}
        left_out = LeftOut(
            rule=stop.rule.id,
            kind=stop.rule.kind,
            outcome=out.get("outcome") or "filtered",
            reason=reason(stop.rule),
            column=out.get("col"),
            values={name: before.values[name] for name in looked_at},
        )
        self.ends.append(End(before.record, {}, left_out))

    def _note(self, number: int, before: Row | None, row: Row) -> None:
        """Note what a rule did to the columns that are wanted after it."""
        stop = self.stops[number]
        names = self._names(stop)
        made = columns_set(stop.rule, names)
        said = {n["col"]: n["outcome"] for n in (row.notes[len(before.notes):] if before else [])}  # fmt: skip
        for column in self.wanted[number + 1]:
            if column in made and not (isinstance(stop.rule, Aggregate) and column in stop.rule.by):
                self._touch(stop, column, before, row, nulled=column in said)
        if "warned" in said.values():
            name = next(str(col or "") for col, outcome in said.items() if outcome == "warned")
            self.touches.append(_warned(stop, row.record, name, reason(stop.rule)))

    def _touch(
        self, stop: Stop, column: str, before: Row | None, row: Row, *, nulled: bool
    ) -> None:
        rule = stop.rule
        names = self._names(stop)
        was = column if column in names else ""
        said = "what was there does not fit: NULL instead" if nulled else says(rule, column)
        if isinstance(rule, Rename):
            was = next(old for old, new in rule.columns.items() if new == column)
        elif isinstance(rule, Unpivot):
            was = row.values[rule.name] or "" if column == rule.value else ""
        elif isinstance(rule, Aggregate):
            was = ""
            said += f" over {self.steps.members(stop.after[0], row.number):,} records"
        values = before.values if before else {}
        if isinstance(rule, Fill) and rule.previous and values.get(was) == row.values[column]:
            said = ""
        others = () if isinstance(rule, Unpivot) else columns_set(rule, names)[column]
        self.touches.append(
            Touch(
                rule=rule.id,
                kind=rule.kind,
                comment=rule.comment,
                record=row.record,
                column=column,
                was=was,
                before=values.get(was) if was else None,
                after=row.values[column],
                made_of={name: values[name] for name in others if name in values and name != was},
                said=said,
            )
        )


def _warned(stop: Stop, record: str, column: str, wants: str) -> Touch:
    rule = stop.rule
    return Touch(
        rule=rule.id, kind=rule.kind, comment=rule.comment, record=record, column="", was="",
        before=None, after=None, said=f"warned{f' of {column}' if column else ''}: it {wants}",
    )  # fmt: skip
