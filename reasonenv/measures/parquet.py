"""Records in Parquet files: one row a record, one column a field, so that any program for tables reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reasonenv.errors import UserError
from reasonenv.storage import Damaged, replace

if TYPE_CHECKING:
    import pyarrow as pa

Record = TypeVar("Record")

SUM = b"sha256"  # of the rows, among the metadata
# How the annotation of a field is stored. Log-probabilities and the like are float32 wherever they come from.
KINDS = {
    "str": "string",
    "int": "int64",
    "bool": "bool_",
    "float": "float64",
    "tuple[str, ...]": "string",
    "tuple[float, ...]": "float32",
}
ADDED = {"added": True}  # metadata of a field that files of earlier versions lack: there it is null


def write_records(path: Path, kind: type[Record], records: Iterable[Record]) -> None:
    """`records` of the dataclass `kind`; the file is whole or absent.

    Its metadata hold a sum of all values, by which `read_table` knows damage. Errors: `OSError` of the disk.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = to_table(kind, records)
    table = table.replace_schema_metadata({SUM: _sum(table)})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, sink.getvalue().to_pybytes())


def to_table(kind: type[Record], records: Iterable[Record]) -> pa.Table:
    """A column for each field of `kind`. Half of a surrogate pair, which no UTF-8 has, becomes U+FFFD."""
    import pyarrow as pa

    columns: list[list[Any]] = [[] for _ in fields(kind)]  # type: ignore[arg-type]
    for record in records:
        for column, value in zip(columns, vars(record).values(), strict=True):
            column.append(_storable(value))
    schema = _schema(kind)
    arrays = [pa.array(column, type=entry.type) for column, entry in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_table(path: Path, kind: type[Any]) -> pa.Table:
    """What `write_records` wrote. Raises `UserError` naming the file if it is absent, damaged or of other columns."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        checksum = _sum(table)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is written when an evaluation ends") from None
    except (
        pa.ArrowException,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # what damage looks like depends on where it is
        raise Damaged(
            f"{path}: not a whole Parquet file ({' '.join(str(error).split())[:200]}); evaluate again"
        ) from None
    schema = _schema(kind)
    for place, entry in enumerate(schema):
        if entry.name not in table.column_names and _was_added(kind, entry.name):
            table = table.add_column(place, entry, pa.nulls(len(table), entry.type))
    if set(table.column_names) != set(schema.names):
        raise UserError(f"{path}: a row has exactly the columns {', '.join(schema.names)}; found {table.column_names}")
    for entry in schema:
        if table.schema.field(entry.name).type != entry.type:
            stored = table.schema.field(entry.name).type
            raise UserError(f"{path}: column {entry.name!r} is {stored}; it must be {entry.type}")
        if table.column(entry.name).null_count and not entry.nullable:
            raise UserError(f"{path}: column {entry.name!r} lacks values; it must have one in every row")
    if checksum != (table.schema.metadata or {}).get(SUM, b"").decode(errors="replace"):
        raise Damaged(f"{path} is damaged: its values are not what was written; evaluate again")
    return table


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """The rows of `read_table` as records, with the same errors."""
    return to_records(read_table(path, kind), kind)


def to_records(table: pa.Table, kind: type[Record]) -> list[Record]:
    """The inverse of `to_table`."""
    records = []
    for row in table.to_pylist():
        for name, value in row.items():
            if isinstance(value, list):
                row[name] = tuple(value)
        records.append(kind(**row))
    return records


def _sum(table: pa.Table) -> str:
    return hashlib.sha256(json.dumps(table.to_pylist()).encode()).hexdigest()


def _was_added(kind: type[Any], name: str) -> bool:
    return any(field.name == name and field.metadata.get("added") for field in fields(kind))


def _schema(kind: type[Any]) -> pa.Schema:
    import pyarrow as pa

    columns = []
    for field in fields(kind):
        plain = str(field.type).removesuffix(" | None")
        stored = getattr(pa, KINDS[plain])()
        if plain.startswith("tuple"):
            stored = pa.list_(stored)
        columns.append(pa.field(field.name, stored, nullable=plain != field.type))
    return pa.schema(columns)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return tuple(map(_storable, value)) if isinstance(value, tuple) else value
