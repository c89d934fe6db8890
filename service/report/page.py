"""The report as a page: read as one story, rendered with everything escaped, under a policy that lets nothing run.

Invariant: what a model, a caller or a provider wrote is text, never markup: it is escaped as HTML, its control and
direction characters are made visible, and the page's own policy refuses scripts, requests and other styles.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gatepost.checkpointing.books import Books
from gatepost.checkpointing.history import utc
from gatepost.service import terminal, told
from gatepost.service.timeline import timeline
from gatepost.state.transition import Transition

SHOWN = 1_000
"""Transitions of one report; of a longer run the newest."""


async def report(books: Books, run_id: str, tenant: str) -> str:
    """The report of a run as one HTML document.

    Args:
        books: where the run is.
        run_id: which.
        tenant: whose it must be.

    Raises:
        UnknownRun: the tenant has no such run.
    """
    run = await books.runs.get(run_id, tenant)
    history = books.history
    return render(
        run=run,
        story=await history.page(run_id, limit=SHOWN),
        effects=await history.effects(run_id),
        approvals=await books.approvals.list(tenant, status=None, run_id=run_id, limit=SHOWN),
        artifacts=await history.artifacts(run_id),
        spent=await history.spent(run_id),
        steps=[change.record for change in await history.steps(run_id)],
    )


def render(*, run: Mapping[str, Any], story: list[Transition], effects: list[dict[str, Any]], **found: Any) -> str:
    """The document for what was found: rows as the database has them."""
    css = _text("report.css")
    style_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    drawn = timeline(story, effects=effects, until=run["finished_at"] or run["now"])
    # The style is ours, and has to stand as it is: its hash is what the policy lets in.
    return _environment().from_string(_text("report.html")).render(
        run=run, story=story, effects=effects, timeline=drawn, style_hash=style_hash,
        css=Markup(css), **found,  # noqa: S704
    )  # fmt: skip


def shown(value: Any) -> str:
    """A value as text: plain data as JSON, times in UTC, and what would hide or turn text around made visible."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return terminal.safe(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    return terminal.safe(utc(value) if hasattr(value, "astimezone") else value)


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    environment.filters["lasted"] = told.lasted
    environment.filters["details"] = lambda one: list(told.details(one))
    environment.filters["headline"] = told.headline
    return environment


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else shown(value)


@cache
def _text(name: str) -> str:
    return (files("gatepost.service") / "report" / name).read_text(encoding="utf-8")
