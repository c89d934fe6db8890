"""Sales of a tenant, and whoever is told of them: what the tests of notices share."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.types import Command
from tests.integration.mailbox import Mailbox

from gatepost import FixedPlan, Gate, GatepostGraph, Plan, RunContext, Step, Workflow
from gatepost.checkpointing.notices import Notices
from gatepost.service.notices.herald import Herald
from gatepost.service.notices.post import Post
from gatepost.service.notices.routes import read_routes

SECRET = "tok3n-of-the-address"  # noqa: S105 (of nothing)
SALE = Plan(steps=(Step(id="pay", tool="charge", args={"customer": "a-secret-name", "cents": 100}),))


class Desk:
    """Sales of one tenant under a gate, and whoever is told of them."""

    def __init__(self, build: Callable[..., GatepostGraph], shop: Any, owner: Any, box: Mailbox, folder: Path) -> None:
        self.tenant = f"t{secrets.token_hex(4)}"
        self.who = RunContext(tenant=self.tenant, principal="intern")
        self.build, self.shop, self.owner, self.box, self.folder = build, shop, owner, box, folder
        self.saver = shop.graph.saver
        self.graph: GatepostGraph = shop.graph
        self.lines: list[str] = []

    def ask(self, run: str = "r1", **gate: Any) -> Any:
        """Start a sale; what is asked."""
        found = Workflow(
            name="w", goals=("w",), strategy=FixedPlan(SALE), tools=self.shop.tools, gates={"charge": Gate(**gate)}
        )
        self.graph = self.build([found])
        return self.graph.invoke({"goal": "w"}, self.shop.config(run), context=self.who)["approval"]

    def answer(self, answer: dict[str, Any], run: str = "r1") -> Any:
        """Answer, and go on."""
        return self.graph.invoke(Command(resume=answer), self.shop.config(run), context=self.who)

    def roles(self, **held: str) -> None:
        """Give people a role each."""
        for person, role in held.items():
            self.wait(self.saver.people.grant(person, role, tenant=self.tenant, by="hr"))

    def herald(self, text: str = "", *, link: Any = None, **outbox: Any) -> Herald:
        """Whoever sends this tenant's notices, by default to one box."""
        path = self.folder / "notices.toml"
        path.write_text(text or self.route())
        routes = read_routes(path, {"TOKEN": SECRET})
        sent = Notices(self.saver.pools, **outbox)
        return Herald(sent, routes, Post(routes), say=self.lines.append, link=link)

    def route(self, name: str = "all", path: str = "box", **more: Any) -> str:
        """A route of this tenant."""
        said = {"name": name, "tenants": [self.tenant], "urls": [self.box.url(path)], **more}
        return "[[route]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())

    def send(self, herald: Herald) -> int:
        """Send what is due."""
        sent: int = self.wait(herald.deliver())
        return sent

    def rows(self) -> list[dict[str, Any]]:
        """The outbox."""
        statement = "SELECT * FROM gatepost.notice WHERE tenant = %s ORDER BY written_at, kind"
        found: list[dict[str, Any]] = self.owner.rows(statement, self.tenant)
        return found

    def stands(self, kind: str = "asked") -> tuple[str, str]:
        """State and reason of a notice."""
        return next((row["state"], row["reason"]) for row in self.rows() if row["kind"] == kind)

    def hurry(self) -> None:
        """What is tried later is due now."""
        self.owner.change(
            "UPDATE gatepost.notice SET due_at = gatepost.now() "
            "WHERE tenant = %s AND state = 'pending' AND attempts > 0",
            self.tenant,
        )

    def wait(self, work: Any) -> Any:
        """The result of async work."""
        return self.saver.bridge.run(work)
