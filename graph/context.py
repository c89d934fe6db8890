"""Who acts: the run context that a caller passes beside the config, never inside it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from gatepost.state.errors import InvalidValue
from gatepost.state.values import storable_text

LOCAL_TENANT = "local"
"""The single-user tenant of a laptop."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Who acts, for whom. LangGraph does not store it; pass it again on every call.

    Raises:
        InvalidValue: a name that cannot be stored.
    """

    tenant: str = LOCAL_TENANT
    """The owner of the runs; nobody sees another tenant's."""
    principal: str = ""
    """Who acts; the user of the operating system when it is not said. From Python a name is only asserted."""

    def __post_init__(self) -> None:
        """Check both names where they enter."""
        storable_text(self.tenant, where="the tenant", max_bytes=120)
        if self.principal:
            storable_text(self.principal, where="the principal", max_bytes=200)

    @property
    def actor(self) -> str:
        """The principal, or the user of the operating system."""
        return self.principal or os_user()


def who_acts(given: object) -> RunContext:
    """What a caller passed as `context`: a `RunContext`, its fields as a dict, or nothing.

    Raises:
        InvalidValue: something else.
    """
    if given is None:
        return RunContext()
    if isinstance(given, RunContext):
        return given
    if isinstance(given, dict) and given.keys() <= {"tenant", "principal"}:
        return RunContext(**given)
    raise InvalidValue("the context is no RunContext. Pass context=RunContext(tenant=…, principal=…).")


def os_user() -> str:
    """The name under which this process runs, or `somebody` where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
