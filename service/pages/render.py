"""Rendering: templates that escape everything, and words for times and lengths of time.

Invariant: text that a model, a caller or a provider wrote reaches a page escaped twice over: as HTML, and
with the characters made visible that would hide or turn around what stands beside them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from gatepost.checkpointing.history import utc
from gatepost.service import told
from gatepost.service.http import seal
from gatepost.service.http.caller import Caller
from gatepost.service.http.house import House
from gatepost.service.terminal import safe

COLUMNS = 5
_ROOM = files("gatepost.service.pages")


async def page(
    house: House,
    caller: Caller | None,
    template: str,
    *,
    status: int = 200,
    refresh: str = "",
    stamp: str = "",
    **values: Any,
) -> HTMLResponse:
    """A page.

    Args:
        house: where the words for forms are sealed.
        caller: who looks; None before signing in.
        template: the file.
        status: of the response.
        refresh: the address of the events after which the page is fetched again.
        stamp: how what is shown stands; an event that says the same is no news. Else: how the inbox stands.
        values: for the template.
    """
    form_token = ""
    if caller is not None and caller.session is not None:
        form_token = seal.token(caller.session, (await house.secrets())[0])
    waiting, stands = await house.overview.stamp(caller.tenant) if caller and caller.may("read") else (0, "")
    shown = {"waiting": waiting, "refresh": refresh, "stamp": stamp or stands, "now": await house.overview.now()}
    made = templates().get_template(template)
    text = made.render(caller=caller, form_token=form_token, **shown, **values)
    return HTMLResponse(text, status)


@cache
def templates() -> Environment:
    """The templates of this room."""
    made = Environment(
        loader=FunctionLoader(lambda name: (_ROOM / "templates" / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(ago=ago, clock=clock, exact=utc, pretty=pretty, kept=kept, words=words, sentence=sentence)
    made.filters.update(parted=parted)
    made.filters.update(headline=told.headline, details=lambda one: list(told.details(one)))
    made.tests.update(listed=_listed, tabular=_tabular)
    made.globals["release"] = version("gatepost")
    return made


def static(name: str) -> bytes:
    """A file that pages refer to."""
    return (_ROOM / "static" / name).read_bytes()


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, as people say it."""
    return length(now - moment)


def length(span: timedelta) -> str:
    """A length of time, as people say it."""
    seconds = max(0.0, span.total_seconds())
    for limit, unit, name in ((0.95, 0.001, "ms"), (90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


def clock(moment: datetime) -> str:
    """A moment, short."""
    return f"{moment:%d %b %H:%M:%S}"


def pretty(value: object) -> str:
    """A value as a person reads it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def words(name: object) -> str:
    """A name with its underscores as spaces."""
    return str(name).replace("_", " ")


def sentence(text: object) -> str:
    """An error's words, which follow a colon elsewhere, as a sentence of their own."""
    return str(text)[:1].upper() + str(text)[1:]


def parted(text: str) -> Markup:
    """Text in which a line may also end behind an underscore; whoever copies it gets it as it is."""
    return Markup(str(escape(safe(text))).replace("_", "_<wbr>"))  # noqa: S704 (escaped right here)


def kept(value: object) -> Markup:
    """As it is, but for what HTML needs: only for fields that are sent back."""
    return escape(str(value))


def _listed(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str | int | float) for one in value)


def _tabular(value: object) -> bool:
    """Whether these are rows of one table: dicts with the same few names and plain values."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) and one for one in value):
        return False
    names = list(value[0])
    plain = all(not isinstance(part, dict | list) for one in value for part in one.values())
    return plain and len(names) <= COLUMNS and all(list(one) == names for one in value)


def _harmless(value: object) -> object:
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value
