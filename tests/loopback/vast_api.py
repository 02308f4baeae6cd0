"""The operations: a request comes in as method, path, query, headers and body, an answer goes out.

Which request is which operation stands in ROUTES; faults and counters use the operations' names.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from . import vast_select, vast_wire
from .vast_errors import ApiError
from .vast_rows import Numbers
from .vast_store import Database
from .vast_tables import (
    NoSortColumn,
    Path,
    TableEntry,
    VectorIndex,
    ascending_rows,
    schema_below,
)

MAX_BODY_BYTES = 5 << 20
MAX_COLUMNS_BYTES = 3_670_016  # of a page of a column list; assumed, to fit the SDK's tests
METADATA_SINCE = (5, 5)
VECTOR_INDEX_SINCE = (5, 5)
DISTANCE_METRICS = ("l2sq", "ip")
QUANTIZATIONS = ("scalar_8bit", "none")
SNAPSHOTS_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated><Marker></Marker></ListBucketResult>"

# What the path stands for: nothing, a bucket, bucket/schema, or bucket/schema/table (schemas may be nested).
ROUTES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("GET", "transaction"): ("version", ""),
    ("POST", "transaction"): ("begin", ""),
    ("PUT", "transaction"): ("commit", ""),
    ("DELETE", "transaction"): ("rollback", ""),
    ("HEAD", ""): ("head_bucket", "bucket"),
    ("GET", "list_type"): ("list_snapshots", "bucket"),
    ("GET", "schema"): ("list_schemas", "schema"),
    ("POST", "schema"): ("create_schema", "schema"),
    ("PUT", "schema"): ("alter_schema", "schema"),
    ("DELETE", "schema"): ("drop_schema", "schema"),
    ("GET", "table"): ("list_tables", "schema"),
    ("POST", "table"): ("create_table", "table"),
    ("PUT", "table"): ("alter_table", "table"),
    ("DELETE", "table"): ("drop_table", "table"),
    ("GET", "column"): ("list_columns", "table"),
    ("GET", "sorted-columns"): ("list_sorted_columns", "table"),
    ("POST", "column"): ("add_columns", "table"),
    ("PUT", "column"): ("alter_column", "table"),
    ("DELETE", "column"): ("drop_columns", "table"),
    ("GET", "stats"): ("stats", "table"),
    ("POST", "rows"): ("insert", "table"),
    ("PUT", "rows"): ("update", "table"),
    ("DELETE", "rows"): ("delete", "table"),
    ("GET", "data"): ("select", "table"),
}
DDL_OPS = frozenset(op for op, _ in ROUTES.values() if op.startswith(("create_", "alter_", "drop_", "add_")))


@dataclass(frozen=True)
class Request:
    """A request, taken apart."""

    op: str
    path: Path
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def txid(self) -> int:
        """The transaction it belongs to, 0 if it does not say."""
        try:
            return int(self.headers.get("tabular-txid") or 0)
        except ValueError as error:
            raise ApiError("InvalidArgument", "tabular-txid must be a number") from error

    @property
    def table(self) -> str:
        """The table's name, or ""."""
        return self.path[2] if len(self.path) > 2 else ""

    def indexed(self, prefix: str) -> list[int]:
        """Return the numbers in headers `prefix-0`, `prefix-1`, and so on."""
        values: list[int] = []
        while (value := self.headers.get(f"{prefix}-{len(values)}")) is not None:
            values.append(int(value))
        return values


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Find out which operation a request is."""
    path, _, query = target.partition("?")
    parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    command = next((name for name in parameters if (method, name) in ROUTES), "")
    if (method, command) not in ROUTES:
        raise ApiError("MethodNotAllowed", f"{method} {target} is no operation of this server")
    op, kind = ROUTES[method, command]
    return Request(op, _object_path(path, kind), parameters, headers, body)


def _object_path(path: str, kind: str) -> Path:
    parts = [urllib.parse.unquote(part) for part in path.split("/") if part]
    fewest = {"": 0, "bucket": 1, "schema": 1, "table": 3}[kind]
    if len(parts) < fewest:
        raise ApiError("InvalidRequest", f"path {path} names no {kind}")
    if kind == "table":
        return (parts[0], "/".join(parts[1:-1]), parts[-1])
    return (parts[0], "/".join(parts[1:])) if kind else ()


class Api:
    """The operations of one server over its database."""

    def __init__(self, database: Database, version: tuple[int, ...], data_addresses: Sequence[str]) -> None:
        self.database = database
        self.version = version
        self._addresses = tuple(data_addresses)
        self._operations: dict[str, Callable[[Request], Answer]] = {
            op: getattr(self, f"_{op}") for op, _ in ROUTES.values()
        }

    def answer(self, request: Request) -> Answer:
        """Carry out a request."""
        if len(request.body) > MAX_BODY_BYTES:
            raise ApiError("EntityTooLarge", f"a body of {len(request.body)} bytes is over {MAX_BODY_BYTES}")
        return self._operations[request.op](request)

    # Transactions

    def _version(self, request: Request) -> Answer:
        if not request.headers.get("tabular-get-vast-version"):
            self.database.transaction(request.txid)
        return Answer()  # the version is in the Server header of every answer

    def _begin(self, _request: Request) -> Answer:
        return Answer(headers={"tabular-txid": str(self.database.begin())})

    def _commit(self, request: Request) -> Answer:
        self.database.commit(request.txid)
        return Answer()

    def _rollback(self, request: Request) -> Answer:
        self.database.rollback(request.txid)
        return Answer()

    # Buckets and schemas

    def _head_bucket(self, request: Request) -> Answer:
        self.database.require_bucket(request.path[0])
        return Answer()

    def _list_snapshots(self, request: Request) -> Answer:
        self.database.require_bucket(request.path[0])
        return Answer(body=SNAPSHOTS_LIST)

    def _list_schemas(self, request: Request) -> Answer:
        transaction = self.database.transaction(request.txid)
        self.database.require_bucket(request.path[0])
        transaction.require_schema(request.path)
        paths = [path for path in transaction.all_objects() if schema_below(path, request.path)]
        names = sorted(path[1].rpartition("/")[2] for path in paths)
        page, headers = _page(names, request.headers)
        return Answer(headers=headers, body=vast_wire.schema_list(request.path[0], page))

    def _create_schema(self, request: Request) -> Answer:
        self.database.create_schema(request.txid, request.path)
        return Answer()

    def _alter_schema(self, request: Request) -> Answer:
        if new_name := request.parameters.get("tabular-new-schema-name"):
            self.database.rename_schema(request.txid, request.path, new_name)
        return Answer()

    def _drop_schema(self, request: Request) -> Answer:
        self.database.drop_schema(request.txid, request.path)
        return Answer()

    # Tables

    def _list_tables(self, request: Request) -> Answer:
        transaction = self.database.transaction(request.txid)
        transaction.require_schema(request.path)
        found = transaction.all_objects().items()
        inside = [(path, entry) for path, entry in found if path[:2] == request.path]
        tables = {path[2]: entry for path, entry in inside if isinstance(entry, TableEntry)}
        page, headers = _page(sorted(tables), request.headers)
        listed = [self._listed(request.txid, (*request.path, name), tables[name]) for name in page]
        bucket, schema = request.path
        return Answer(headers=headers, body=vast_wire.table_list(bucket, schema, listed))

    def _listed(self, txid: int, path: Path, entry: TableEntry) -> vast_wire.ListedTable:
        _, view = self.database.view(txid, path)
        rows = len(view.row_ids)
        size = int(rows * view.bytes_per_row())
        return vast_wire.ListedTable(path[2], entry.handle, rows, size, bool(entry.sorted_by))

    def _create_table(self, request: Request) -> Answer:
        schema = vast_wire.read_schema(request.body)
        index = self._requested_index(request, schema)
        sorted_by = request.indexed("tabular-sorted-column")
        with self._sort_errors():
            self.database.create_table(request.txid, request.path, schema, sorted_by, index)
        return Answer()

    def _requested_index(self, request: Request, schema: pa.Schema) -> VectorIndex | None:
        column = request.headers.get("tabular-vector-index-column")
        if column is None:
            return None
        if self.version < VECTOR_INDEX_SINCE:
            raise ApiError("InvalidArgument", "no vector index before server version 5.5")
        read = {name: request.headers.get(f"tabular-vector-index-{name}") for name in _INDEX_HEADERS}
        cluster = read["cluster-quantization"] or QUANTIZATIONS[0]
        search = read["search-quantization"] or QUANTIZATIONS[0]
        index = VectorIndex(column, read["distance-metric"] or "", cluster, search)
        _check_index(index, schema)
        return index

    def _sort_errors(self) -> _SortErrors:
        return _SortErrors(self.version)

    def _alter_table(self, request: Request) -> Answer:
        if new_name := request.parameters.get("tabular-new-table-name"):
            schema, _, name = new_name.rpartition("/")
            self.database.rename_table(request.txid, request.path, (request.path[0], schema, name))
        if sorted_by := request.indexed("tabular-sorted-column"):
            with self._sort_errors():
                self.database.set_sorting(request.txid, request.path, sorted_by)
        return Answer()

    def _drop_table(self, request: Request) -> Answer:
        self.database.drop_table(request.txid, request.path)
        return Answer()

    def _stats(self, request: Request) -> Answer:
        entry = self.database.transaction(request.txid).table(request.path)
        listed = self._listed(request.txid, request.path, entry)
        return Answer(body=vast_wire.table_stats(listed, self._addresses, entry.vector_index))

    # Columns

    def _list_columns(self, request: Request) -> Answer:
        entry = self.database.transaction(request.txid).table(request.path)
        fields = [self._described(entry, i) for i in range(len(entry.columns))]
        return self._columns_answer(fields, request)

    def _described(self, entry: TableEntry, index: int) -> pa.Field:
        """Return a column as this server version lists it: from 5.5 on every column has metadata."""
        column = entry.columns[index]
        if self.version < METADATA_SINCE:
            return column.field
        sorted_by = column.column_id in entry.sorted_by
        metadata = {"VAST:sort_type": "Sorted" if sorted_by else "Unsorted"}
        if sorted_by:
            metadata["VAST:sort_index"] = str(entry.sorted_by.index(column.column_id))
        return column.field.with_metadata(metadata)

    def _list_sorted_columns(self, request: Request) -> Answer:
        entry = self.database.transaction(request.txid).table(request.path)
        if not entry.sorted_by:
            raise ApiError("InvalidRequest", "Listing sorted columns of a table without elysium enabled")
        by_id = {column.column_id: column.field for column in entry.columns}
        return self._columns_answer([by_id[column_id] for column_id in entry.sorted_by], request)

    def _columns_answer(self, fields: Sequence[pa.Field], request: Request) -> Answer:
        by_name = {column.name: column for column in fields}
        page, headers = _page(list(by_name), request.headers)
        if request.headers.get("tabular-only-column-names") == "true":
            by_name = {name: pa.field(name, pa.null()) for name in page}
        body = pa.schema([by_name[name] for name in page]).serialize().to_pybytes()
        if len(body) > MAX_COLUMNS_BYTES:
            raise ApiError("InvalidRequest", f"list column result size {len(body)} is too long")
        return Answer(headers=headers, body=body)

    def _add_columns(self, request: Request) -> Answer:
        self.database.add_columns(request.txid, request.path, vast_wire.read_schema(request.body))
        return Answer()

    def _alter_column(self, request: Request) -> Answer:
        if new_name := request.parameters.get("tabular-new-column-name"):
            name = request.parameters.get("tabular-column-name", "")
            self.database.rename_column(request.txid, request.path, name, new_name)
        return Answer()

    def _drop_columns(self, request: Request) -> Answer:
        self.database.drop_columns(request.txid, request.path, vast_wire.read_schema(request.body).names)
        return Answer()

    # Rows

    def _insert(self, request: Request) -> Answer:
        batch = vast_wire.read_batch(request.body)
        rows = self.database.insert(request.txid, request.path, batch)
        entry = self.database.transaction(request.txid).table(request.path)
        ids = vast_wire.row_id_array(rows, wide=entry.wide_row_ids)
        return Answer(body=vast_wire.stream_of(pa.RecordBatch.from_arrays([ids], names=[vast_wire.ROW_ID])))

    def _update(self, request: Request) -> Answer:
        rows, batch = self._addressed_rows(request)
        self.database.update(request.txid, request.path, rows, batch)
        return Answer()

    def _delete(self, request: Request) -> Answer:
        rows, _ = self._addressed_rows(request)
        self.database.delete(request.txid, request.path, rows)
        return Answer()

    def _addressed_rows(self, request: Request) -> tuple[Numbers, pa.RecordBatch]:
        """Return the row ids of an update or a delete, ascending, and the columns that go with them."""
        batch = vast_wire.read_batch(request.body)
        if not batch.num_columns or batch.schema.names[0] != vast_wire.ROW_ID:
            raise ApiError("InvalidArgument", f"the first column must be {vast_wire.ROW_ID}")
        entry = self.database.transaction(request.txid).table(request.path)
        rows = vast_wire.row_ids_of(batch.column(0), wide=entry.wide_row_ids)
        return ascending_rows(rows, batch.select(batch.schema.names[1:]))

    def _select(self, request: Request) -> Answer:
        page = vast_select.Page.of(request.headers)
        entry, view = self.database.view(request.txid, request.path)
        return Answer(body=vast_select.select(entry, view, request.body, page))


_INDEX_HEADERS = ("distance-metric", "cluster-quantization", "search-quantization")


def _check_index(index: VectorIndex, schema: pa.Schema) -> None:
    """Refuse an index that a server refuses (the messages are those that the SDK's tests expect)."""
    if schema.get_field_index(index.column) < 0:
        raise ApiError("InvalidArgument", f"invalid vector indexed column name {index.column}")
    if index.distance_metric not in DISTANCE_METRICS:
        supported = ", ".join(f"'{metric}'" for metric in DISTANCE_METRICS)
        problem = f"invalid vector index distance metric {index.distance_metric}"
        raise ApiError("InvalidArgument", f"{problem}, supported metrics: {supported}")
    if (index.cluster_quantization, index.search_quantization) == QUANTIZATIONS:
        raise ApiError("InvalidArgument", "clusters cannot be quantized where searches are not")


class _SortErrors:
    """Before 5.5 a bad sorting column is an internal error, since then a bad request."""

    def __init__(self, version: tuple[int, ...]) -> None:
        self._version = version

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        """Turn the error into that of the server version."""
        if isinstance(error, NoSortColumn) and self._version < (5, 5):
            raise ApiError("InternalError", "We encountered an internal error. Please try again.") from error


def _page(names: Sequence[str], headers: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the names of one page of a list, and the headers that say how to go on."""
    exact = headers.get("tabular-name-exact-match")
    prefix = headers.get("tabular-name-prefix") or ""
    matching = [name for name in names if (name == exact if exact is not None else name.startswith(prefix))]
    start = int(headers.get("tabular-next-key") or 0)
    end = start + int(headers.get("tabular-max-keys") or 1000)
    more = end < len(matching)
    page = [] if headers.get("tabular-list-count-only") == "True" else matching[start:end]
    return page, {
        "tabular-next-key": str(end if more else 0),
        "tabular-is-truncated": "true" if more else "false",
        "tabular-list-count": str(len(matching)),
    }
