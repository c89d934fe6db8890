"""What the acceptance tests share: services with books of their own, and an office full of workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.fleet import Fleet
from tests.acceptance.processes import Office, serving

from gatepost import Checkpointer
from gatepost.examples.services import Services
from gatepost.testing import Database


@pytest.fixture
def services_url(tmp_path: Path) -> Iterator[str]:
    """The services of this test: a process of their own, with empty books."""
    with serving(tmp_path / "books.sqlite") as url:
        yield url


@pytest.fixture
def fleet(tmp_path: Path, checkpointer: Checkpointer, gatepost_database: Database) -> Fleet:
    """`gatepost worker` processes on this test's database, and a provider of their own."""
    return Fleet(tmp_path, checkpointer, gatepost_database.url)


@pytest.fixture
def office(gatepost_database: Database, services_url: str) -> Iterator[Office]:
    """Worker processes on this test's database and services."""
    with Services(services_url) as services:
        office = Office(database=gatepost_database.url, services=services, url=services_url)
        yield office
        office.close()
