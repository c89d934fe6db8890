"""Approvals and decisions: what a person is asked, and what a person may answer.

Invariant: the digest covers exactly what the person answers for, so an approval authorises one
action and no other. Everything else on the request may change without asking again.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from gatepost.state.canonical import digest_of
from gatepost.state.errors import InvalidDecision, InvalidValue
from gatepost.state.gate import Terms
from gatepost.state.record import Record
from gatepost.state.values import storable

DecisionType: TypeAlias = Literal["approve", "edit", "reject", "respond"]
DECISION_TYPES: tuple[DecisionType, ...] = ("approve", "edit", "reject", "respond")


class Decision(Record):
    """A person's answer to an approval, addressed to it by id."""

    approval: str
    type: DecisionType
    by: str
    """The principal who answers."""
    comment: str = ""
    """For `respond`: the text that the planner gets. Otherwise a note for the record."""
    args: dict[str, JsonValue] | None = None
    """For `edit`: the new arguments, all of them."""
    channel: str = "python"
    """How the answer arrived: python, cli, …"""
    authenticated: str = "asserted"
    """How the person was established; from Python a name is only asserted."""
    on_behalf_of: str = ""
    """Who delegated to them, where they answer in that person's place, and count as that person."""

    def same_answer(self, other: Decision) -> bool:
        """Whether this is a repeat of `other`: the same person saying the same, for the same person."""
        places = {self.on_behalf_of, other.on_behalf_of} - {""}
        return (
            (self.type, self.by, self.args) == (other.type, other.by, other.args)
            and (self.type != "respond" or self.comment == other.comment)
            and len(places) <= 1
        )


class ApprovalRequest(Record):
    """What a person is asked: one action, its exact arguments, and why a person must answer."""

    schema_version: Literal[1] = 1
    id: str
    kind: Literal["action", "doubt", "failure"] = "action"
    """`action`: may this be done? `doubt`: did this happen? `failure`: it failed; once more, or not?"""
    purpose: Literal["run", "compensate"] = "run"
    """`run`: the step itself. `compensate`: what undoes it."""
    run: str
    step: str
    tool: str
    args: dict[str, JsonValue]
    effect: str
    digest: str
    """Hash over tenant, run, step, tool, arguments, effect class, evidence, and the undo where there is one."""
    undo: str | None = None
    """The tool that undoes it: an approval of the action also authorises that."""
    undoes: str | None = None
    """For `compensate`: the tool whose effect is undone."""
    effect_key: str | None = None
    """For a doubt: the idempotency key of the effect in question."""
    reasons: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    """Ids of the policies that decided, if any did."""
    policy_version: str = ""
    plan_version: int = 1
    requested_by: str = ""
    evidence: dict[str, str] = Field(default_factory=dict)
    """Checksums of the outputs it rests on, by step."""
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """The outputs that the step relies on (`Step.relies_on`), as they are when it is asked; their checksums bind."""
    changes: tuple[dict[str, JsonValue], ...] = ()
    """What changed since it was asked last: `{"fact": step, "at": JSON pointer, "was": …, "now": …}`, with
    `"material": False` where that difference would not have mattered by itself."""
    supersedes: str | None = None
    """The approval that covered the facts as they were."""
    impact: tuple[dict[str, JsonValue], ...] = ()
    """What a yes would set going, the action first (the keys are in `nodes.impact`). It describes and binds nothing."""
    args_schema: dict[str, JsonValue] = Field(default_factory=dict)
    """JSON Schema of the arguments, for an edit."""
    allowed: tuple[DecisionType, ...] = DECISION_TYPES
    terms: Terms = Field(default_factory=Terms)
    """Who must answer, how many and until when, as the gate declares it (`state.gate`)."""
    level: int = 0
    """How often the question was passed on to the next in the chain, because nobody had answered in time."""
    decide_by: str | None = None
    """UTC, ISO 8601. After it the answer is refused, and the gate says what that means."""
    act_by: str | None = None
    """UTC, ISO 8601. After it the action is refused, approved or not."""
    status: str = "open"

    def approve(self, *, by: str, comment: str = "", on_behalf_of: str = "") -> dict[str, Any]:
        """The answer "do exactly this", for `Command(resume=…)`.

        Raises:
            InvalidDecision: it is asked what happened, not whether something may be done.
        """
        if self.kind == "doubt":
            raise InvalidDecision(f"approval {self.id} {_DOUBT_IS_NO_YES}")
        said = Decision(approval=self.id, type="approve", by=by, comment=comment, on_behalf_of=on_behalf_of)
        return said.plain()

    def reject(self, *, by: str, comment: str = "", on_behalf_of: str = "") -> dict[str, Any]:
        """The answer "do not do this"; the run ends as rejected."""
        return Decision(approval=self.id, type="reject", by=by, comment=comment, on_behalf_of=on_behalf_of).plain()

    @property
    def asked(self) -> str:
        """Whom it is asked of, in words; empty where it is whoever the policy lets."""
        roles, needed = self.terms.asked(self.level), self.terms.needed(self.level)
        people = "one person" if needed == 1 else f"{needed} different people"
        if not roles:
            return "" if needed == 1 else people
        return f"{people} with the role {' or '.join(roles)}"

    def edit(self, *, by: str, comment: str = "", **changes: Any) -> dict[str, Any]:
        """The answer "do this, but with these arguments"; arguments not named stay as they are."""
        return Decision(approval=self.id, type="edit", by=by, comment=comment, args={**self.args, **changes}).plain()

    def happened(self, *, by: str, result: Any = None, undo: bool = False, comment: str = "") -> dict[str, Any]:
        """The answer to a doubt "it happened, and this is what it returned".

        Args:
            by: who found out.
            result: what the call returned; nobody needs to know it where it is undone.
            undo: whether it is to be undone: the run ends, and what it did is taken back.
            comment: for the record.

        Raises:
            InvalidDecision: it is asked whether something may be done, not what happened.
        """
        self._asks_what_happened()
        args = {"result": result, **({"undo": True} if undo else {})}
        return Decision(approval=self.id, type="edit", by=by, comment=comment, args=args).plain()

    def did_not_happen(self, *, by: str, comment: str = "") -> dict[str, Any]:
        """The answer to a doubt "it did not happen, and will not".

        Raises:
            InvalidDecision: it is asked whether something may be done, not what happened.
        """
        self._asks_what_happened()
        return Decision(approval=self.id, type="reject", by=by, comment=comment).plain()

    def respond(self, text: str, *, by: str) -> dict[str, Any]:
        """The answer "first do something else": text for the planner, which makes a new plan version."""
        return Decision(approval=self.id, type="respond", by=by, comment=text).plain()

    def payload(self) -> dict[str, Any]:
        """The request as LangChain's `HITLRequest`, with ours beside it; inboxes read this."""
        action = {"name": self.tool, "args": self.args, "arguments": self.args, "description": self.describe()}
        review = {"action_name": self.tool, "allowed_decisions": list(self.allowed), "args_schema": self.args_schema}
        return {"action_requests": [action], "review_configs": [review], "approval": self.plain()}

    def describe(self) -> str:
        """One paragraph for a person."""
        why = "; ".join(self.reasons) or "the policy asks"
        called = f"{self.tool} ({self.effect})"
        if self.kind == "doubt":
            to_undo = f", to undo {self.undoes}," if self.undoes else ""
            return (
                f"Step {self.step} called {called}{to_undo} and nobody saw how it ended: {why}. Find out, and say: "
                "it happened, and what it returned; or it did not happen."
            )
        if self.kind == "failure":
            return (
                f"Step {self.step} called {called}, which failed for certain: {why}. Approve to have it tried again, "
                "as a new call; reject to let it fail."
            )
        if self.purpose == "compensate":
            return f"Step {self.step} is to be undone: {self.undoes} by {called}. A person is asked because: {why}."
        undo = f" {self.undo} would undo it, and is approved with it." if self.undo else ""
        return f"Step {self.step} wants to call {called}.{undo} A person is asked because: {why}."

    def _asks_what_happened(self) -> None:
        if self.kind != "doubt":
            raise InvalidDecision(
                f"approval {self.id} asks whether {self.tool} may run, not what happened: approve(by=…), reject(by=…)."
            )


def digest_of_action(
    *,
    tenant: str,
    run: str,
    step: str,
    tool: str,
    args: JsonValue,
    effect: str,
    evidence: dict[str, str],
    undo: str | None = None,
) -> str:
    """What an approval binds: tenant, run, step, tool, exact arguments, effect class, evidence, and the undo."""
    return digest_of(tenant, run, step, tool, args, effect, dict(evidence), *([undo] if undo else []))


def is_as_asked(request: ApprovalRequest, digest: str, *, tenant: str) -> bool:
    """Whether what a request says is what its digest was taken of: nobody has changed what was asked since.

    Only an action's own request says all that its digest covers; the others are compared where they are acted on.
    """
    if request.kind != "action" or request.purpose != "run":
        return request.digest == digest
    said = digest_of_action(
        tenant=tenant,
        run=request.run,
        step=request.step,
        tool=request.tool,
        args=request.args,
        effect=request.effect,
        evidence=request.evidence,
        undo=request.undo,
    )
    return said == request.digest == digest


def digest_of_undo(*, key: str, tool: str, args: JsonValue, effect: str) -> str:
    """What an approval of an undo binds: the effect undone (its key says whose), tool, arguments, effect class."""
    return digest_of("undo", key, tool, args, effect)


_DOUBT_IS_NO_YES = (
    "asks what happened, so a plain yes is no answer. Say what you found out: happened(by=…, result=…), "
    "or did_not_happen(by=…)."
)
_HOW = (
    "Answer with a flat dict addressed to the approval, for example "
    "Command(resume=result['approval'].approve(by='alice')), which is "
    "{'approval': 'apr_…', 'type': 'approve', 'by': 'alice'}"
)
_ADDRESSED: TypeAdapter[Decision] = TypeAdapter(Annotated[Decision, Field()])


def decision_of(answer: object) -> Decision:
    """Validate what arrived in `Command(resume=…)` into a decision.

    Raises:
        InvalidDecision: unaddressed, unknown type, missing or extra fields; says what would be right.
    """
    if isinstance(answer, Decision):
        answer = answer.model_dump()
    if not isinstance(answer, dict):
        raise InvalidDecision(f"the answer {answer!r:.80} is addressed to no approval, so it is refused. {_HOW}.")
    if "approval" not in answer:
        raise InvalidDecision(f"the answer names no approval (keys: {sorted(map(str, answer))}). {_HOW}.")
    try:
        storable(answer, where="the decision")
        decision = _ADDRESSED.validate_python(answer)
    except InvalidValue as error:
        raise InvalidDecision(str(error)) from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InvalidDecision(f"the answer is malformed ({wrong}). {_HOW}.") from None
    return _complete(decision)


def _complete(decision: Decision) -> Decision:
    if not decision.by.strip():
        raise InvalidDecision("the answer names nobody. Say who answers: by='alice'.")
    if (decision.type == "edit") != (decision.args is not None):
        raise InvalidDecision("`args` goes with type 'edit' and only with it: send all arguments as they should be.")
    if decision.type == "respond" and not decision.comment.strip():
        raise InvalidDecision("`respond` needs its text in `comment`: it is what the planner gets.")
    return decision
