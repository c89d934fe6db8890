"""Where the database is: one address, two ways in.

The owner's way in is for migrations. Every other connection acts as the application role `gatepost_app`,
which owns nothing and may do only what the migrations grant it, even when the owner is a superuser.

No password leaves this module in a message, a repr or a chained exception.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from gatepost.checkpointing.embedded import default_home, ensure_server
from gatepost.state.errors import DatabaseUnavailable

APPLICATION_ROLE = "gatepost_app"
EMBEDDED_DATABASE = "gatepost"
CONNECT_TIMEOUT_SECONDS = 5

# LangGraph's tables are named without a schema and live in public, whatever a role's own settings say.
APPLICATION_OPTIONS = f"-c search_path=public -c role={APPLICATION_ROLE}"
# No statement of ours takes a second; one that waits longer meets a lock or a network that will not answer.
PATIENCE = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
SECRETS = ("password", "sslpassword", "oauth_client_secret")

FIND_DATABASE = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
CREATE_DATABASE = "CREATE DATABASE gatepost"
EXAMPLE = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True)
class Address:
    """A database and the two ways into it. Both conninfos hold the password, so neither is in the repr."""

    owner: str = field(repr=False)
    """libpq conninfo for migrations, as it was given."""
    app: str = field(repr=False)
    """libpq conninfo for everything else: the same, acting as the application role."""
    shown: str
    """The address for messages, without secrets."""
    embedded: bool = False
    """Whether it is the embedded server."""


class _Refusal(NamedTuple):
    """What libpq says, what that means, what to do."""

    said: str
    cause: str
    cure: str


REFUSALS = (
    _Refusal("onnection refused", "nothing listens at", "start PostgreSQL there, or correct host and port"),
    _Refusal("No such file or directory", "no server has its socket at", "start PostgreSQL, or correct the host"),
    _Refusal(
        "could not translate host name|failed to resolve host|Name or service not known|nodename nor servname",
        "the host name is not known in",
        "correct the host",
    ),
    _Refusal(
        "invalid response to SSL negotiation|expected authentication request",
        "what listens there is no PostgreSQL:",
        "correct host and port",
    ),
    _Refusal(
        "port \\d+ failed: server closed the connection unexpectedly",
        "what listens there hung up, as something does that is no PostgreSQL, or a server that stops:",
        "correct host and port, or try again in a moment",
    ),
    _Refusal(
        "timeout expired|timed out",
        "no answer in time from",
        "check host, port and firewall, and that it is a PostgreSQL that listens there",
    ),
    _Refusal(
        "password authentication failed|no password supplied|authentication failed",
        "user or password is wrong for",
        "correct the address (GATEPOST_DATABASE_URL), PGPASSWORD or ~/.pgpass",
    ),
    _Refusal(
        f'role "{APPLICATION_ROLE}" does not exist',
        "the database is not prepared at",
        "run `gatepost migrate`",
    ),
    _Refusal(
        f'permission denied to set role "{APPLICATION_ROLE}"',
        f"the user may not act as {APPLICATION_ROLE} at",
        "run `gatepost migrate` as this user, or grant the role to it",
    ),
    _Refusal('role ".*" does not exist', "the user is unknown at", "correct the user, or create it"),
    _Refusal(
        'database ".*" does not exist', "the database does not exist at", "create it with createdb, or correct its name"
    ),
    _Refusal(
        "too many clients|remaining connection slots",
        "every connection is taken at",
        "close some, or raise max_connections",
    ),
    _Refusal(
        "starting up|shutting down|recovery mode|not yet accepting",
        "the server starts or stops at",
        "try again in a moment",
    ),
    _Refusal(
        "no pg_hba.conf entry", "the server does not admit this user from here at", "add a line to its pg_hba.conf"
    ),
    _Refusal("SSL|certificate", "no agreement about TLS with", "correct sslmode and the certificates of the address"),
)


def resolve(url: str | None = None) -> Address:
    """Find the database: the argument, else $GATEPOST_DATABASE_URL, else the embedded server.

    The embedded server is started when it does not run, and its database `gatepost` made when missing.

    Args:
        url: a libpq URL or conninfo string.

    Raises:
        DatabaseUnavailable: the address cannot be read, or the embedded server cannot be started.
    """
    given = url or os.environ.get("GATEPOST_DATABASE_URL")
    if given:
        return _addressed(given, embedded=False)
    cluster = ensure_server(default_home())
    _ensure_database(_addressed(cluster, embedded=True))
    return _addressed(make_conninfo(cluster, dbname=EMBEDDED_DATABASE), embedded=True)


def check(address: Address) -> None:
    """Connect once as the owner.

    Raises:
        DatabaseUnavailable: no connection within five seconds (or the address's own `connect_timeout`).
    """
    connect(address).close()


def connect(address: Address) -> psycopg.Connection[DictRow]:
    """Open a connection as the owner, with the settings that LangGraph's `setup()` needs.

    Raises:
        DatabaseUnavailable: as for `check`.
    """
    try:
        return psycopg.Connection[DictRow].connect(
            _patient(address.owner), autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
    except psycopg.Error as error:
        raise explain(error, address) from None


def explain(error: psycopg.Error, address: Address) -> DatabaseUnavailable:
    """Return the error that tells a user why a connection failed, cause first and cure last."""
    # All lines: of a host with two addresses libpq tells both failures.
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, errors.ConnectionTimeout):
        said = "timeout expired"
    for refusal in REFUSALS:
        if re.search(refusal.said, said):
            return DatabaseUnavailable(f"{refusal.cause} {address.shown}: {refusal.cure}")
    return DatabaseUnavailable(f"no connection to {address.shown} ({said}): correct the address or the server")


def secret_in(url: str) -> bool:
    """Whether an address holds a password or another secret.

    Raises:
        DatabaseUnavailable: the address cannot be read.
    """
    return bool(_read(url).keys() & set(SECRETS))


def _addressed(given: str, *, embedded: bool) -> Address:
    parts = _read(given)
    own = parts.get("options") or os.environ.get("PGOPTIONS", "")
    options = " ".join(filter(None, (PATIENCE, own, APPLICATION_OPTIONS)))  # of two values the last one counts
    public = {name: value for name, value in parts.items() if name not in SECRETS}
    return Address(
        owner=given,
        app=make_conninfo(given, options=options),
        shown=make_conninfo("", **public) or "libpq's defaults",
        embedded=embedded,
    )


def _read(given: str) -> dict[str, str]:
    """Split the conninfo, refusing what libpq would misread with a piece of the password in a wrong place."""
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(given).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # libpq quotes the piece it stumbled over, which may be the password.
        reason = re.sub(r'".*"', '"…"', str(error).strip(), flags=re.DOTALL)
        raise DatabaseUnavailable(f"the database address cannot be read ({reason}): write {EXAMPLE}") from None
    misplaced = "@" in parts.get("host", "") or not re.fullmatch(r"[\d,]*", parts.get("port", ""))
    if misplaced or ("@" in parts.get("dbname", "") and "user" not in parts):
        raise DatabaseUnavailable(
            "the database address cannot be read: its password holds a character that ends it; "
            f"percent-encode it (@ is %40, / is %2F) in {EXAMPLE}"
        )
    return parts


def _patient(conninfo: str) -> str:
    """Bound the wait for a connection unless the user did."""
    if "connect_timeout" in conninfo_to_dict(conninfo) or os.environ.get("PGCONNECT_TIMEOUT"):
        return conninfo
    return make_conninfo(conninfo, connect_timeout=CONNECT_TIMEOUT_SECONDS)


def _ensure_database(address: Address) -> None:
    """Make the embedded server's database; several processes may be first at once."""
    with connect(address) as connection:
        try:
            if connection.execute(FIND_DATABASE, [EMBEDDED_DATABASE]).fetchone() is None:
                connection.execute(CREATE_DATABASE)
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            return
        except psycopg.Error as error:
            raise explain(error, address) from None
