"""Tables of the store and their version."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)

# Raised when a released version cannot read what this one writes. Each older version must have its step in create_tables.
SCHEMA_VERSION = 2

METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# Times are RFC 3339 text in UTC: they sort as they should and read well in any SQL shell.
OPERATIONS = Table(
    "operations",
    METADATA,
    Column("app_uid", String(64), primary_key=True),
    Column("started_at", String(40), primary_key=True),
    Column("app_namespace", String(253), nullable=False),
    Column("app_name", String(253), nullable=False),
    Column("project", String(253), nullable=False, default=""),
    Column("revision", Text, nullable=False, default=""),
    Column("initiated_by", Text, nullable=False, default=""),
    Column("automated", Boolean, nullable=False, default=False),
    Column("finished_at", String(40), nullable=True),
    Column("phase", String(32), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("resources", Text, nullable=False, default="{}"),
    Column("render_keys", Text, nullable=False, default="", server_default=""),  # since version 2
    Index("operations_of_app", "app_namespace", "app_name", "started_at"),
    Index("operations_open", "finished_at"),
)

RENDERS = Table(
    "renders",
    METADATA,
    Column("key", String(128), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("stored_at", String(40), nullable=False),
    Index("renders_by_age", "stored_at"),
)

_VERSION_KEY = "schema_version"


def read_version(connection: Connection) -> int | None:
    """Schema version of the store, None for an empty one."""
    if not inspect(connection).has_table(META.name):
        return None
    value = connection.execute(select(META.c.value).where(META.c.key == _VERSION_KEY)).scalar()
    return int(value) if value is not None else None


def create_tables(connection: Connection, version: int | None) -> None:
    """Bring a store of `version` (None: empty) to SCHEMA_VERSION, inside the caller's transaction."""
    METADATA.create_all(connection)
    if version == 1:
        connection.execute(text("ALTER TABLE operations ADD COLUMN render_keys TEXT NOT NULL DEFAULT ''"))
    if version is None:
        connection.execute(insert(META).values(key=_VERSION_KEY, value=str(SCHEMA_VERSION)))
    elif version < SCHEMA_VERSION:
        connection.execute(update(META).where(META.c.key == _VERSION_KEY).values(value=str(SCHEMA_VERSION)))
