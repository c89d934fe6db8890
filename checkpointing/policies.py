"""The policy sets that have judged, kept by version.

Invariant: the sets are written before a run is moved under them, and never changed: the version that
stands on an approval can be shown as it was, whatever has become of the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.errors import CallerMistake, NotFound


class PolicyVersions:
    """The table of policy versions.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._known: set[str] = set()

    async def remember(self, versions: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        """Write versions down, each once.

        Args:
            versions: of all sets together; of each its layer, name, version and text.
        """
        for version, sets in versions.items():
            if version in self._known:
                continue
            async with self._pools.connection() as connection:
                await connection.execute(query("policy.remember"), {"version": version, "sets": Jsonb(list(sets))})
            self._known.add(version)

    async def enforce(self, sets: Mapping[tuple[str, str], str]) -> None:
        """Put sets in force, by version; they were written down before.

        Args:
            sets: by the workflow and the tenant whose runs they judge; an empty tenant stands for all others.
        """
        async with self._pools.connection() as connection:
            await connection.execute(query("policy.enforce"), by_place(sets))

    async def list(self, *, limit: int) -> list[dict[str, Any]]:
        """What has judged here, the latest first."""
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("policy.page"), {"limit": limit})).fetchall()

    async def show(self, version: str) -> dict[str, Any]:
        """One version.

        Args:
            version: of all sets that judged together, or of one of them; may be abbreviated.

        Raises:
            NotFound: none begins so.
            CallerMistake: several do.
        """
        async with self._pools.connection() as connection:
            rows = await (await connection.execute(query("policy.show"), {"prefix": version})).fetchall()
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise CallerMistake(
                f"several policy versions begin with {version!r}: {rows[0]['version']}, … Type more of it."
            )
        raise NotFound(
            f"no policy of version {version!r} has judged here: one is kept when a run is moved under it. "
            "`gatepost policy list` shows those that are."
        )


def by_place(sets: Mapping[tuple[str, str], str]) -> dict[str, list[str]]:
    """Versions by workflow and tenant, as the queries take them."""
    places = [(workflow, tenant, version) for (workflow, tenant), version in sorted(sets.items())]
    names = ("workflows", "tenants", "versions")
    return {name: [place[at] for place in places] for at, name in enumerate(names)}
