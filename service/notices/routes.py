"""Routes: which address gets which notice, as the deployment's file says.

Invariant: an address holds a secret. It is read from the file or the environment, handed to whoever sends, and shown,
logged, stored and raised nowhere: what is said about one is the name of its route.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gatepost.state.errors import CallerMistake
from gatepost.state.notice import NOTICE_KINDS, Notice, NoticeKind

VARIABLE = "GATEPOST_NOTICES"
USUAL: frozenset[NoticeKind] = frozenset(NOTICE_KINDS) - {"decided"}
"""What a route gets that does not say what it wants."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LISTS = ("tenants", "roles", "people", "events", "urls")
_KEYS = ("name", *_LISTS)


@dataclass(frozen=True, slots=True)
class Route:
    """Some addresses, and what is sent there."""

    name: str
    urls: tuple[str, ...] = field(repr=False)
    """As apprise writes them."""
    tenants: frozenset[str] = frozenset()
    """None: everybody's."""
    roles: frozenset[str] = frozenset()
    """Questions that ask for one of them."""
    people: frozenset[str] = frozenset()
    """Questions that one of them may answer. Neither roles nor people: every question."""
    events: frozenset[NoticeKind] = USUAL

    def takes(self, notice: Notice, answerers: frozenset[str]) -> bool:
        """Whether a notice goes here.

        Args:
            notice: what is to be told.
            answerers: who holds a role that is asked, or stands in for such a person.
        """
        if notice.kind not in self.events or (self.tenants and notice.tenant not in self.tenants):
            return False
        if not self.roles and not self.people:
            return True
        if not notice.roles and self.people:
            return True  # whoever the policy lets may answer, so whoever is named may be the one
        told = answerers | ({notice.requested_by} if notice.kind in ("decided", "expired") else frozenset())
        return not self.roles.isdisjoint(notice.roles) or not self.people.isdisjoint(told)


@dataclass(frozen=True, slots=True)
class Address:
    """Where one notice is sent, by one message."""

    name: str
    """Of the route, with a number where it has several."""
    url: str = field(repr=False)
    notice: Notice


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes of a deployment."""

    routes: tuple[Route, ...]

    @property
    def tenants(self) -> list[str] | None:
        """Whose notices can be sent from here; None: everybody's."""
        if any(not route.tenants for route in self.routes):
            return None
        return sorted({tenant for route in self.routes for tenant in route.tenants})

    def for_people(self) -> bool:
        """Whether it matters who holds a role."""
        return any(route.people for route in self.routes)

    def wanted(self, kind: NoticeKind) -> bool:
        """Whether a notice of this kind is for anybody at all."""
        return kind in USUAL or any(kind in route.events for route in self.routes)

    def addresses(self, notice: Notice, answerers: frozenset[str]) -> Iterator[Address]:
        """Where a notice is sent."""
        for route in self.routes:
            if route.takes(notice, answerers):
                (person,) = route.people if len(route.people) == 1 and not route.roles else ("",)
                for number, url in enumerate(route.urls, 1):
                    name = route.name if len(route.urls) == 1 else f"{route.name}#{number}"
                    yield Address(name, url, replace(notice, person=person))


def read_routes(path: Path, environ: Mapping[str, str]) -> Routes:
    """The routes in a file.

    Args:
        path: TOML, with a table `[[route]]` for each.
        environ: where `${NAME}` in an address is looked up.

    Raises:
        CallerMistake: it cannot be read, or says what cannot be; says where, and never what an address is.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CallerMistake(
            f"the notices file {path} cannot be read ({why}). Correct --notices or {VARIABLE}."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise CallerMistake(f"the notices file {path} is no TOML: {error}.") from None
    try:
        return _routes(data, environ)
    except CallerMistake as error:
        raise CallerMistake(f"the notices file {path}: {error}") from None


def _routes(data: Mapping[str, Any], environ: Mapping[str, str]) -> Routes:
    if extra := sorted(data.keys() - {"route"}):
        raise CallerMistake(f"there is no {extra[0]!r} in it. It holds tables [[route]] and nothing else.")
    listed = data.get("route")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise CallerMistake('it has no route. Write [[route]], then name = "…" and urls = ["…"] under it.')
    routes = [_route(number, one, environ) for number, one in enumerate(listed, 1)]
    names = [route.name for route in routes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise CallerMistake(f"two routes are called {twice!r}. What was sent is on record by the name: give another.")
    return Routes(tuple(routes))


def _route(number: int, data: Mapping[str, Any], environ: Mapping[str, str]) -> Route:
    name = data.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CallerMistake(f'route {number} needs a name of letters, digits and . _ -: name = "finance".')
    for key in data.keys() - set(_KEYS):
        near = get_close_matches(key, _KEYS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(_KEYS)}."
        raise CallerMistake(f"route {name!r} has no {key!r}.{hint}")
    lists = {key: _texts(name, key, data[key]) for key in _LISTS if key in data}
    if not lists.get("urls"):
        raise CallerMistake(f'route {name!r} has no address: urls = ["mailto://…"], as apprise writes them.')
    if "people" in lists and "roles" in lists:
        raise CallerMistake(f"route {name!r} is for roles or for people. Write two routes for both.")
    if wrong := sorted(set(lists.get("events", ())) - set(NOTICE_KINDS)):
        raise CallerMistake(f"route {name!r}: there is no event {wrong[0]!r}. There are {', '.join(NOTICE_KINDS)}.")
    urls = tuple(_filled(name, url, environ) for url in lists.pop("urls"))
    chosen: dict[str, Any] = {key: frozenset(found) for key, found in lists.items()}
    return Route(name, urls, **chosen)


def _texts(route: str, key: str, value: object) -> Sequence[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one.strip() for one in value):
        raise CallerMistake(f'route {route!r}: {key} is a list of texts, and not empty: {key} = ["…"].')
    return value


def _filled(route: str, url: str, environ: Mapping[str, str]) -> str:
    if absent := next((name for name in _REFERENCE.findall(url) if not environ.get(name)), None):
        raise CallerMistake(f"route {route!r} needs the environment variable {absent}, which is not set.")
    return _REFERENCE.sub(lambda found: environ[found[1]], url)
