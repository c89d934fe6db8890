"""Visitors: who looks at a page, and the forms that only our own pages can send.

Invariant: a form is read only from somebody who is signed in, and only with the token of that session.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, quote

from fastapi import Depends, Request

from gatepost.service.http import seal
from gatepost.service.http.caller import COOKIE, Caller, caller_of
from gatepost.service.http.guard import UNSAFE
from gatepost.service.http.house import House, house_of
from gatepost.service.http.problem import Refused
from gatepost.state.errors import InvalidValue

MOST_FIELDS = 500


async def visitor_of(request: Request, house: Annotated[House, Depends(house_of)]) -> Caller:
    """Who looks; whoever is not signed in is sent to do so.

    Raises:
        Refused: nobody is signed in, the key may not read, or the form is not ours.
    """
    caller = await caller_of(request, house) if COOKIE in request.cookies else None
    if caller is None or caller.session is None:
        where = f"/sign-in?then={quote(request.url.path)}" if request.method not in UNSAFE else "/sign-in"
        raise Refused(303, "sign-in", "Sign in first", next="Sign in with a key.", headers={"Location": where})
    caller.check("read")
    if request.method in UNSAFE:
        given = (await form_of(request)).get("form_token", "")
        if not seal.is_token(given, caller.session, await house.secrets()):
            raise Refused(
                403,
                "form",
                "This form has expired",
                detail="It was made for another session. Nothing was changed.",
                next="Go back, load the page again, and send it once more.",
            )
    return caller


Visitor = Annotated[Caller, Depends(visitor_of)]


async def form_of(request: Request) -> dict[str, str]:
    """What a form was sent with; of a repeated name, the last.

    Raises:
        InvalidValue: it is no form, or one with too many fields.
    """
    try:
        text = (await request.body()).decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise InvalidValue("the form cannot be read. Load the page again.") from None
