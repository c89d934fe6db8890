"""Two tenants at every door of the service: what is somebody else's reads as what never was.

The doors are those of the API's own description and of the pages' own routes, so a new one is tried without being
added here.
"""

from __future__ import annotations

import pkgutil
import re
import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import httpx
import pytest
from tests.integration.serving import Person, Served

from gatepost.checkpointing.keys import SCOPES
from gatepost.service import pages

OTHER = "elsewhere"
NEVER = {"run_id": "run_ffffffffffffffffffff", "approval": "apr_ffffffffffff"}
BESIDE = {"name": "ticket.json", "step": "first", "order": "hold"}
"""What stands beside an id in an address; anything else is `1`."""
FORM = re.compile(r'name="form_token" value="([^"]+)"')
SAME = frozenset({"date", "content-length"})


@pytest.fixture(scope="module")
def theirs(served: Served) -> dict[str, str]:
    """A run of the tenant `local` with a question, and whatever a run of it may have."""
    alice = served.person("alice")
    asked = alice.asked(alice.start(customer="ada", note=""))
    return {"run_id": asked["run"], "approval": asked["id"], "digest": asked["digest"]}


@pytest.fixture(scope="module")
def mallory(served: Served) -> Person:
    """Who may everything in another tenant."""
    return served.person("mallory", tenant=OTHER)


@pytest.fixture(scope="module")
def described(served: Served) -> dict[str, Any]:
    """The API, as it describes itself."""
    found: dict[str, Any] = httpx.get(f"{served.url}/openapi.json").json()
    return found


def doors(described: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every endpoint of the API: method, path, description."""
    return [
        (method.upper(), path, found)
        for path, methods in described["paths"].items()
        for method, found in methods.items()
        if path.startswith("/v1")
    ]


def body_of(described: Mapping[str, Any], found: Mapping[str, Any]) -> Any:
    """A body that its schema takes."""
    if "requestBody" not in found:
        return None
    return _example(described, found["requestBody"]["content"]["application/json"]["schema"])


def _example(described: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return _example(described, schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _example(described, schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [_example(described, schema["items"])] * schema.get("minItems", 0)
        case "string":
            return "1" * max(1, schema.get("minLength", 0))
        case kind:
            raise AssertionError(f"an example of {kind} is needed: {schema}")


def knock(client: httpx.Client, method: str, path: str, ids: Mapping[str, str], body: Any, **options: Any) -> Any:
    """Ask for something with these ids."""
    named = {name: ids.get(name, BESIDE.get(name, "1")) for name in re.findall(r"{(\w+)", path)}
    filled = re.sub(r"{(\w+)[^}]*}", lambda found: named[found[1]], path)
    if method == "POST" and body is not None and "data" not in options:
        options |= {"json": body, "headers": {"Idempotency-Key": str(uuid.uuid4())}}
    params = {"mode": "resume"} if path.endswith("/recovery") else {}
    return client.request(method, filled, params=params, **options)


def said(answer: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str, dict[str, str]]:
    """What a caller sees, with the ids that it sent itself left out."""
    text = answer.text
    for name in ("run_id", "approval"):
        text = text.replace(ids[name], f"<{name}>")
    text = re.sub(r"(form_token|request_key)\" value=\"[^\"]+", r"\1", text)
    return answer.status_code, text, {name: value for name, value in answer.headers.items() if name not in SAME}


def test_every_door_of_the_api_gives_the_same_for_a_foreign_id_as_for_a_random_one(
    mallory: Person, theirs: dict[str, str], described: dict[str, Any]
) -> None:
    addressed = [door for door in doors(described) if "{" in door[1]]
    assert len(addressed) >= 20
    for method, path, found in addressed:
        body = body_of(described, found)
        foreign, random = (knock(mallory.http, method, path, ids, body) for ids in (theirs, NEVER))
        assert foreign.status_code == 404, (method, path, foreign.text)
        assert said(foreign, theirs) == said(random, NEVER), (method, path)


def test_every_page_gives_the_same_for_a_foreign_id_as_for_a_random_one(
    served: Served, mallory: Person, theirs: dict[str, str]
) -> None:
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as desk:
        desk.post("/sign-in", data={"key": mallory.key.secret})
        token = FORM.search(desk.get("/runs").text)
        assert token
        form = {"form_token": token[1], "reason": "x", "type": "approve"}
        tried = 0
        for method, path in _pages():
            options = {"data": form} if method == "POST" else {}
            foreign, random = (knock(desk, method, path, ids, None, **options) for ids in (theirs, NEVER))
            assert foreign.status_code == 404, (method, path, foreign.text)
            assert said(foreign, theirs) == said(random, NEVER), (method, path)
            tried += 1
        assert tried >= 4


def _pages() -> list[tuple[str, str]]:
    modules = [import_module(f"{pages.__name__}.{found.name}") for found in pkgutil.iter_modules(pages.__path__)]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    return [
        (method, route.path)
        for route in routes
        for method in sorted(route.methods - {"HEAD"})
        if "{run_id" in route.path or "{approval" in route.path
    ]


def test_lists_searches_and_bulk_answers_show_nothing_of_another_tenant(
    mallory: Person, theirs: dict[str, str]
) -> None:
    assert mallory.get("/v1/runs") == {"runs": [], "next": None}
    assert mallory.get("/v1/approvals") == {"approvals": [], "next": None}
    for where, name, value in (("runs", "search", theirs["run_id"]), ("approvals", "run", theirs["run_id"])):
        assert mallory.get(f"/v1/{where}", params={name: value})[where] == []
    answers = []
    for ids in (theirs, NEVER):
        item = {"approval": ids["approval"], "digest": theirs["digest"]}
        answers.append(
            said(mallory.http.post("/v1/approvals/decisions", json={"type": "reject", "items": [item]}), ids)
        )
    assert answers[0] == answers[1]
    assert '"status":404' in answers[0][1]


def test_nothing_is_answered_without_a_key_that_has_the_scope(
    served: Served, theirs: dict[str, str], described: dict[str, Any]
) -> None:
    without = {
        scope: served.person("limited", scopes=[other for other in SCOPES if other != scope]) for scope in SCOPES
    }
    with httpx.Client(base_url=served.url) as nobody:
        for method, path, found in doors(described):
            body = body_of(described, found)
            ((scope,),) = {tuple(scopes) for way in found["security"] for scopes in way.values()}
            assert knock(nobody, method, path, theirs, body).status_code == 401, (method, path)
            refused = knock(without[scope].http, method, path, theirs, body)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope"), (method, path)
            assert (scope == "read") >= (method == "GET")


def test_a_browser_s_session_changes_nothing_through_the_api(
    served: Served, theirs: dict[str, str], described: dict[str, Any]
) -> None:
    with httpx.Client(base_url=served.url) as desk:
        desk.post("/sign-in", data={"key": served.person("ina").key.secret})
        assert desk.get("/v1/runs").status_code == 200
        for method, path, found in doors(described):
            if method == "POST":
                assert knock(desk, method, path, theirs, body_of(described, found)).status_code == 401, path
