"""Links in notices: where a question is looked at, and for one person's address, where they answer it.

Invariant: an address that answers goes to one person and to nobody else: it is theirs, as a key is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from gatepost.service.http.links import LASTS, PUBLIC_URL, link_for, read_keys
from gatepost.state.notice import Notice

Link: TypeAlias = Callable[[Notice], str | None]
"""Where a notice can be answered, or looked at; only `notice.person` may be given an address that answers."""


def linking(environ: Mapping[str, str], *, base: str | None = None) -> Link | None:
    """What makes the links of notices; None where nobody says where the service is.

    Args:
        environ: `GATEPOST_PUBLIC_URL` says where, and `GATEPOST_LINK_KEYS_FILE` what answering links are signed with.
        base: where the service is, where somebody said so otherwise.

    Raises:
        CallerMistake: the keys cannot be used.
    """
    where, keys = (base or environ.get(PUBLIC_URL, "")).rstrip("/"), read_keys(environ)
    if not where:
        return None

    def link(notice: Notice) -> str:
        lasts = _lasts(notice)
        if not (notice.person and keys and lasts and notice.asks):
            return f"{where}/inbox/{notice.approval}"
        return link_for(
            notice.approval,
            tenant=notice.tenant,
            principal=notice.person,
            digest=notice.request.digest,
            now=notice.now,
            keys=keys,
            base=where,
            lasts=lasts,
        )

    return link


def _lasts(notice: Notice) -> timedelta:
    """As long as the question may be answered, and a day at most."""
    if notice.request.decide_by is None:
        return LASTS
    return max(timedelta(), min(LASTS, datetime.fromisoformat(notice.request.decide_by) - notice.now))
