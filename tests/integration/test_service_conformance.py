"""The API against its own description: schemathesis sends what the OpenAPI document allows and what it does not.

Bounded and seeded, so that the same requests are sent in every run. `GATEPOST_CONFORMANCE=300` sends so many for each
endpoint, at random.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import MutableMapping
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.integration.serving import Person, Served

LONGER = int(os.environ.get("GATEPOST_CONFORMANCE", "0"))
EXAMPLES = LONGER or 8
"""For each endpoint and each of what is allowed and what is not."""
ENDLESS = frozenset({"/v1/events", "/v1/runs/{run_id}/events"})
"""Streams, which end with their run or not at all; tests/integration/test_service_api.py reads them."""
SLOW = "/v1/runs/{run_id}/replay"
"""Takes seconds where it is asked about a run that there is, so it seldom is."""
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def known(alice: Person) -> dict[str, list[str]]:
    """What there is, by the name under which it is asked for."""
    ended = alice.start("weigh", customer="salt")
    alice.wait(ended, "succeeded")
    asked = alice.asked(alice.start(customer="ada", note=""))
    return {
        "run_id": [ended, asked["run"]],
        "approval": [asked["id"]],
        "step": ["first"],
        "name": ["ticket.json"],
        "goal": ["weigh"],
        "at": ["3"],
        "digest": [asked["digest"]],
        "Idempotency-Key": [str(uuid.uuid4()) for _ in range(20)],
    }


@pytest.mark.timeout(3600 if LONGER else 120)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_every_endpoint_does_what_it_says(
    served: Served, alice: Person, known: dict[str, list[str]], mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{served.url}/openapi.json").json())
    operations: list[Any] = [cast("Any", found).ok() for found in schema.get_all_operations()]
    tried = [_tried(operation, mode, alice, known) for operation in operations if operation.path not in ENDLESS]
    assert len(tried) >= 20
    assert not (wrong := [text for text in tried if text]), "\n\n".join(wrong)


def _tried(operation: Any, mode: GenerationMode, alice: Person, known: dict[str, list[str]]) -> str:
    """What an endpoint does wrong."""
    bounded = settings(
        max_examples=EXAMPLES,
        derandomize=not LONGER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )

    @bounded
    @given(case=operation.as_strategy(generation_mode=mode), real=st.data())
    def send(case: Case[Any], real: st.DataObject) -> None:
        for part in (case.path_parameters, case.headers, case.body):
            if isinstance(part, MutableMapping) and (operation.path != SLOW or real.draw(st.integers(0, 9)) == 0):
                _real(part, known, real)
        headers = {"Authorization": f"Bearer {alice.key.secret}"}
        case.call_and_validate(base_url=str(alice.http.base_url), headers=headers, checks=CHECKS, timeout=60)

    try:
        send()
    except Unsatisfiable:  # it takes nothing, so nothing of it can be wrong
        return ""
    except (Exception, BaseExceptionGroup) as wrong:  # noqa: BLE001 (the other endpoints are tried as well)
        return f"{operation.label}: {wrong}"
    return ""


def _real(part: MutableMapping[str, Any], known: dict[str, list[str]], data: st.DataObject) -> None:
    """Put what there is in place of some of what was made up."""
    chosen = [name for name in known if name in part and data.draw(st.booleans())]
    part.update({name: data.draw(st.sampled_from(known[name])) for name in chosen})
