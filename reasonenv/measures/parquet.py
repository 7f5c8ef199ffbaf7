"""Records in Parquet files: one row a record, one column a field, so that any program for tables reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, fields
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


def write_records(path: Path, kind: type[Record], records: Iterable[Record]) -> None:
    """`records` of the dataclass `kind`; the file is whole or absent.

    Its metadata hold a sum of all values, by which `read_records` knows damage.
    Half of a surrogate pair, which no UTF-8 has, is stored as U+FFFD. Errors: `OSError` of the disk.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = [tuple(map(_storable, astuple(record))) for record in records]  # type: ignore[call-overload]
    schema = _schema(kind)
    columns = [pa.array([row[i] for row in rows], type=entry.type) for i, entry in enumerate(schema)]
    table = pa.Table.from_arrays(columns, schema=schema)
    table = table.replace_schema_metadata({SUM: _sum(table.to_pylist())})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, sink.getvalue().to_pybytes())


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """What `write_records` wrote. Raises `UserError` naming the file if it is absent, damaged or of other columns."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        rows = table.to_pylist()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is written when an evaluation ends") from None
    except (pa.ArrowException, OSError, ValueError) as error:  # what damage looks like depends on where it is
        raise Damaged(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]}); evaluate again") from None
    wanted = {entry.name: entry for entry in _schema(kind)}
    if set(table.column_names) != set(wanted):
        raise UserError(f"{path}: a row has exactly the columns {', '.join(wanted)}; found {table.column_names}")
    for name, entry in wanted.items():
        if table.schema.field(name).type != entry.type:
            raise UserError(f"{path}: column {name!r} is {table.schema.field(name).type}; it must be {entry.type}")
        if table.column(name).null_count and not entry.nullable:
            raise UserError(f"{path}: column {name!r} lacks values; it must have one in every row")
    if _sum(rows) != (table.schema.metadata or {}).get(SUM, b"").decode(errors="replace"):
        raise Damaged(f"{path} is damaged: its values are not what was written; evaluate again")
    return [kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows]


def _sum(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _schema(kind: type[Any]) -> pa.Schema:
    import pyarrow as pa

    def column(name: str, annotation: str) -> pa.Field:
        plain = annotation.removesuffix(" | None")
        stored = getattr(pa, KINDS[plain])()
        return pa.field(name, pa.list_(stored) if plain.startswith("tuple") else stored, nullable=plain != annotation)

    return pa.schema([column(f.name, str(f.type)) for f in fields(kind)])


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return tuple(map(_storable, value)) if isinstance(value, tuple) else value
