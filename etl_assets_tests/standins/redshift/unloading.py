"""The run of an UNLOAD for one client: from a query to Parquet objects and their manifest."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_assets_tests.standins.redshift.backend import Backend
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.sources import S3Settings, make_client, split_url
from etl_assets_tests.standins.redshift.unload_command import UnloadCommand

_ROWS = 5_000
_SLICES = 2
"""Of a cluster of one small node. With PARALLEL ON their files hold the rows in no order."""

_VIEW = "redshift_standin_unload"
_COLUMNS = f"""SELECT a.attname, t.typname, a.atttypmod FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = 'pg_temp.{_VIEW}'::regclass ORDER BY a.attnum"""
_NOT_EMPTY = (
    "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix,"
    " manually removing the target files in S3, or using the ALLOWOVERWRITE option."
)
_TYPES = {
    "bool": (pa.bool_(), "boolean"),
    "int2": (pa.int16(), "smallint"),
    "int4": (pa.int32(), "integer"),
    "int8": (pa.int64(), "bigint"),
    "float4": (pa.float32(), "real"),
    "float8": (pa.float64(), "double precision"),
    "date": (pa.date32(), "date"),
    "timestamp": (pa.timestamp("us"), "timestamp without time zone"),
    "text": (pa.string(), "character varying"),
    "varchar": (pa.string(), "character varying"),
    "bpchar": (pa.string(), "character"),
}


class Unloader:
    """Runs the UNLOAD commands of one session.

    Attributes:
        records: How many the last one unloaded.
    """

    def __init__(self, backend: Backend, s3: S3Settings, threads: Executor) -> None:
        self.records = 0
        self._backend = backend
        self._s3 = s3
        self._threads = threads

    async def run(self, command: UnloadCommand, select: str) -> str:
        """Run an UNLOAD inside the client's transaction.

        Args:
            command: The command.
            select: Its query in PostgreSQL's words.

        Returns:
            The message of success.

        Raises:
            SqlError: If the destination is not empty, or a type cannot be unloaded.
            BackendError: If PostgreSQL refuses the query.
        """
        self.records = 0
        hidden = self._backend.hidden
        await hidden(f"CREATE TEMPORARY VIEW {_VIEW} AS {select}")
        columns = [_Column(*row) for row in await hidden(_COLUMNS)]
        target = _Target(self._s3, command, columns)
        await self._call(target.prepare)
        # The view has lost the query's order, so the query itself is read.
        await hidden(f"DECLARE {_VIEW} NO SCROLL CURSOR FOR {select}")
        while rows := await hidden(f"FETCH {_ROWS} FROM {_VIEW}"):
            await self._call(target.write, rows)
        await self._call(target.finish)
        await hidden(f"CLOSE {_VIEW}")
        await hidden(f"DROP VIEW pg_temp.{_VIEW}")
        self.records = target.records
        return f"UNLOAD completed, {self.records} record(s) unloaded successfully."

    async def _call(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class _Column:
    """A column of the query, with its type in Parquet and in the manifest."""

    def __init__(self, name: str | None, kind: str | None, modifier: str | None) -> None:
        self.name = name or ""
        size = int(modifier or -1) - 4
        self.element: dict[str, object] = {}
        if kind == "numeric":
            if size < 0:
                raise SqlError(
                    "0A000", f'the precision of column "{name}" is not known here', hint="Cast it."
                )
            precision, scale = size >> 16, size & 0xFFFF
            self.type = pa.decimal128(precision, scale)
            self.element = {"base": "numeric", "precision": precision, "scale": scale}
        elif kind in _TYPES:
            self.type, base = _TYPES[kind]
            self.element = {"base": base}
            if pa.types.is_string(self.type):
                self.element["max_length"] = size if size > 0 else 65535
        else:
            raise SqlError(
                "0A000", f'Unload to PARQUET does not support column "{name}" of type {kind}.'
            )

    def array(self, values: Sequence[str | None]) -> pa.Array:
        """Return PostgreSQL's texts as an array of the column's type."""
        texts = pa.array(values, pa.string())
        if pa.types.is_boolean(self.type):
            return pc.equal(texts, "t")
        return texts.cast(self.type)


class _Target:
    """The objects an UNLOAD writes."""

    def __init__(
        self, settings: S3Settings, command: UnloadCommand, columns: Sequence[_Column]
    ) -> None:
        self.records = 0
        self._command = command
        self._columns = columns
        self._schema = pa.schema([(c.name, c.type) for c in columns])
        self._bucket, self._prefix = split_url(command.url)
        self._client = make_client(settings)
        self._files: dict[int, _File] = {}
        self._numbers = [0] * _SLICES
        self._entries: list[dict[str, object]] = []

    def prepare(self) -> None:
        """See to it that nothing is in the way.

        Raises:
            SqlError: If something is.
        """
        try:
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix)
        except Exception as error:
            raise SqlError("XX000", f"S3ServiceException:{error}", self._command.url) from error
        keys = [item["Key"] for item in found.get("Contents", [])]
        if "CLEANPATH" in self._command.given:
            for key in keys:
                self._client.delete_object(Bucket=self._bucket, Key=key)
        elif keys and "ALLOWOVERWRITE" not in self._command.given:
            raise SqlError("XX000", _NOT_EMPTY)

    def write(self, rows: Sequence[Sequence[str | None]]) -> None:
        """Give some rows to the slices, one after the other."""
        slices = _SLICES if self._command.parallel else 1
        for number in range(slices):
            if mine := rows[number::slices]:
                columns = zip(*mine, strict=True)
                arrays = [c.array(v) for c, v in zip(self._columns, columns, strict=True)]
                self._file(number).write(pa.record_batch(arrays, schema=self._schema))
                if self._files[number].size >= self._command.max_bytes:
                    self._put(number)
        self.records += len(rows)

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File(self._schema))

    def _put(self, number: int) -> None:
        file, part = self._files.pop(number), self._numbers[number]
        self._numbers[number] += 1
        name = f"{number:04}_part_{part:02}" if self._command.parallel else f"{part:03}"
        content = file.close()
        self._object(f"{name}.parquet", content)
        meta: dict[str, object] = {"content_length": len(content)}
        if self._command.verbose:
            meta["record_count"] = file.records
        self._entries.append({"url": f"{self._command.url}{name}.parquet", "meta": meta})

    def finish(self) -> None:
        """Write what is left, and the manifest last; no row makes no file."""
        for number in sorted(self._files):
            self._put(number)
        if "MANIFEST" not in self._command.given:
            return
        manifest: dict[str, object] = {"entries": self._entries}
        if self._command.verbose:
            sizes = [entry["meta"]["content_length"] for entry in self._entries]  # type: ignore[index]
            manifest |= {
                "schema": {
                    "elements": [{"name": c.name, "type": c.element} for c in self._columns]
                },
                "meta": {"content_length": sum(sizes), "record_count": self.records},
                "author": {"name": "Amazon Redshift", "version": "1.0.0"},
            }
        self._object("manifest", json.dumps(manifest, indent=2).encode())

    def _object(self, name: str, content: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)
        except Exception as error:
            raise SqlError("XX000", f"S3ServiceException:{error}", self._command.url) from error


class _File:
    """A Parquet file in the making, as Redshift writes them: version 1.0, Snappy, INT96."""

    def __init__(self, schema: pa.Schema) -> None:
        self.records = 0
        self._buffer = io.BytesIO()
        self._writer = pq.ParquetWriter(
            self._buffer, schema, version="1.0", compression="snappy", store_schema=False,
            use_deprecated_int96_timestamps=True,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """The bytes written so far."""
        return self._buffer.tell()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a row group."""
        self.records += batch.num_rows
        self._writer.write_batch(batch)

    def close(self) -> bytes:
        """Return the file."""
        self._writer.close()
        return self._buffer.getvalue()
