"""The clerk: whether an answer fits its question, before it is recorded.

Invariant: an answer that is recorded can be carried out. Arguments that the tool does not take, a
person who may not decide, an edit that the policy forbids are refused while they can be corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.checkpointing.deciding import Circumstances
from gatepost.nodes.impact import Impact, edited
from gatepost.nodes.policy import Verdict
from gatepost.nodes.policy_question import Question
from gatepost.nodes.tool import AnyTool, InvalidArguments, InvalidResult
from gatepost.nodes.visit import Equipment, minute
from gatepost.nodes.workflow import takes_responses
from gatepost.state.approval import ApprovalRequest, Decision, digest_of_action
from gatepost.state.canonical import digest_of
from gatepost.state.delegation import Voter
from gatepost.state.errors import InvalidDecision, InvalidValue


@dataclass(frozen=True, slots=True)
class GraphClerk:
    """Knows the tools and the policy of one graph, and of one tenant's run the workflow."""

    equipment: Equipment
    tenant: str
    workflow: str

    def normalise(self, request: ApprovalRequest, decision: Decision) -> Decision:
        """Edited arguments as they will be sent."""
        if decision.args is None:
            return decision
        tool = self._tool(request)
        try:
            args = _result(tool, request, decision) if request.kind == "doubt" else tool.normalise(decision.args)
        except (InvalidArguments, InvalidResult, InvalidValue) as error:
            raise InvalidDecision(
                f"the answer to {request.id} cannot be used: {str(error).rstrip('.')}. Nothing was recorded."
            ) from None
        return decision.model_copy(update={"args": args})

    def authorise(self, request: ApprovalRequest, decision: Decision, voter: Voter, found: Circumstances | None) -> str:
        """Allowed here, by this person, and not forbidden: the digest of the action that is authorised."""
        if decision.type == "respond" and request.kind == "action" and not self._plans_anew():
            raise InvalidDecision(
                f"approval {request.id} does not take 'respond': workflow {self.workflow!r} has a fixed plan; nobody "
                f"would make another. Nothing was recorded; it takes {', '.join(_without_respond(request))}."
            )
        if decision.type not in request.allowed:
            raise InvalidDecision(_not_taken(request, decision))
        for person in dict.fromkeys((voter.by, voter.counted_as)):
            self._may_decide(request, person, voter)
        if request.kind == "doubt":
            return digest_of(request.digest, decision.type, decision.args)
        if decision.args is None:
            return request.digest
        self._may_run(request, decision, found)
        return digest_of_action(
            tenant=self.tenant,
            run=request.run,
            step=request.step,
            tool=request.tool,
            args=decision.args,
            effect=request.effect,
            evidence=request.evidence,
            undo=request.undo,
        )

    def impact(self, request: ApprovalRequest, decision: Decision) -> Impact | None:
        """What the edited action would set going."""
        if decision.args is None or request.kind != "action":
            return None
        return edited(request.impact, self._tool(request), decision.args)

    def _plans_anew(self) -> bool:
        return takes_responses(self.equipment.catalog.named(self.workflow).strategy)

    def _may_decide(self, request: ApprovalRequest, person: str, voter: Voter) -> None:
        judgement = self.equipment.policy.may_decide(
            principal=person,
            requester=request.requested_by,
            tenant=self.tenant,
            step=request.step,
            tool=request.tool,
            roles=voter.roles,
            effect=request.effect,
            workflow=self.workflow,
        )
        if judgement.verdict is not Verdict.RUN:
            why = ", ".join(judgement.policies) or "no policy lets this person"
            place = f", nor {voter.by} in that place" if person != voter.by else ""
            raise InvalidDecision(
                f"{person} may not decide approval {request.id} ({why}; it was requested by "
                f"{request.requested_by}){place}. Somebody else has to. Nothing was recorded."
            )

    def _may_run(self, request: ApprovalRequest, decision: Decision, found: Circumstances | None) -> None:
        judgement = self.equipment.policy.judge(
            Question(
                principal=request.requested_by,
                tenant=self.tenant,
                step=request.step,
                tool=request.tool,
                effect=request.effect,
                args=decision.args or {},
                origin=found.origin if found else "person",
                workflow=self.workflow,
                purpose=request.purpose,
                cost=self._tool(request).cost_of(decision.args or {}),
                spent=found.spent if found else 0,
                now=minute(found.now) if found else None,
                budget=self.equipment.catalog.named(self.workflow).budget,
            )
        )
        if judgement.verdict is Verdict.FORBID:
            raise InvalidDecision(
                f"the policy forbids the edited action ({', '.join(judgement.policies)}). Nothing was recorded; "
                "answer with other arguments."
            )

    def _tool(self, request: ApprovalRequest) -> AnyTool:
        tools = self.equipment.catalog.tools(self.workflow)
        undos = {tool.compensate.name: tool.compensate for tool in tools.values() if tool.compensate}
        tool = (undos if request.purpose == "compensate" else tools).get(request.tool)
        if tool is None:
            raise InvalidDecision(f"this process does not know the tool {request.tool!r}; answer from one that does.")
        return tool


def _without_respond(request: ApprovalRequest) -> list[str]:
    return [kind for kind in request.allowed if kind != "respond"]


def _not_taken(request: ApprovalRequest, decision: Decision) -> str:
    if request.kind == "doubt":
        return (
            f"approval {request.id} asks what happened; {decision.type!r} does not say. Answer happened(by=…, result=…)"
            " or did_not_happen(by=…), which are 'edit' with args {'result': …} and 'reject'."
        )
    return f"approval {request.id} does not take {decision.type!r}; it takes {', '.join(request.allowed)}."


def _result(tool: AnyTool, request: ApprovalRequest, decision: Decision) -> dict[str, object]:
    args = decision.args or {}
    undo = args.get("undo") is True
    if set(args) - {"undo"} != {"result"} or ("undo" in args and not undo):
        raise InvalidDecision("say what the call returned: happened(by=…, result=…).")
    if undo and (tool.compensate is None or request.purpose == "compensate"):
        raise InvalidDecision(f"nothing undoes {tool.name}. Say what it returned, or that it did not happen.")
    if undo and args["result"] is None:
        return {"result": None, "undo": True}
    return {"result": tool.checked_result(args["result"]), **({"undo": True} if undo else {})}
