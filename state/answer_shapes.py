"""Answers in the shapes that others send: read here, made a `Decision` of here, or refused here with what is right.

    ours        {"approval": "apr_…", "type": "approve", "by": "alice"}, or a list of such
    HITL        {"decisions": [{"type": "approve"}, {"type": "edit", "edited_action": {"name": …, "args": …}}, …]}
    per call    {"apr_…": {"type": "reject", "message": …}, …}, or one decision by itself
    inbox       [{"type": "accept" | "edit" | "response" | "ignore", "args": …}]

The middle two are LangChain's (`HITLResponse`, and one decision for each call), the last is that of its older inbox.

Invariant: an answer reaches the question that the person saw, or none. A list is positional and names nothing, so
that another question in the same place would get the answer: it is taken only where the run has asked nothing else so
far, or where the ids are sent with it (`"approvals": ["apr_…"]`). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from gatepost.state.approval import ApprovalRequest, Decision, DecisionType, decision_of
from gatepost.state.errors import InvalidDecision, InvalidValue
from gatepost.state.record import Record
from gatepost.state.values import storable

PREFIX = "apr_"
T = TypeVar("T")


class _Action(Record):
    name: str
    args: dict[str, JsonValue]


class _Approve(Record):
    type: Literal["approve"]


class _Edit(Record):
    type: Literal["edit"]
    edited_action: _Action


class _Reject(Record):
    type: Literal["reject"]
    message: str | None = None


class _Respond(Record):
    type: Literal["respond"]
    message: str


class _InboxAction(Record):
    action: str
    args: dict[str, JsonValue]


class _Accept(Record):
    type: Literal["accept", "ignore"]
    args: JsonValue = None


class _Response(Record):
    type: Literal["response"]
    args: str


class _InboxEdit(Record):
    type: Literal["edit"]
    args: _InboxAction


_Shape: TypeAlias = _Approve | _Edit | _Reject | _Respond | _Accept | _Response | _InboxEdit
_SHAPES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(shape)
    for name, shape in {
        "approve": _Approve,
        "edit": _Edit,
        "edit of an inbox": _InboxEdit,
        "reject": _Reject,
        "respond": _Respond,
        "accept": _Accept,
        "ignore": _Accept,
        "response": _Response,
    }.items()
}
_RIGHT = (
    "One answer is {'approval': 'apr_…', 'type': 'approve', 'by': 'alice'}, as result['approval'].approve(by='alice') "
    "makes it; several are a list of them, {'apr_…': {'type': 'approve'}, …}, or "
    "{'decisions': [{'type': 'approve'}, …], 'approvals': ['apr_…', …]}"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as it arrived, in a shape that says less than we need to know."""

    shape: _Shape
    approval: str | None
    """What it is addressed to, if it is."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What arrived together: all of it is recorded, or none."""

    complete: tuple[Decision, ...] = ()
    said: tuple[Said, ...] = ()


def read(answer: object) -> Answers:
    """Tell the shapes apart.

    Raises:
        InvalidDecision: none of them; says what would be right.
    """
    if isinstance(answer, list) and answer:
        return _list(_checked(answer))
    if not isinstance(answer, dict) or "approval" in answer:
        return Answers(complete=(decision_of(answer),))
    if "decisions" in answer:
        return _positional(_checked(answer))
    if answer and all(str(key).startswith(PREFIX) for key in answer):
        keyed = _checked(answer)
        return Answers(said=tuple(Said(_shape(said, where=f"for {key}"), key) for key, said in keyed.items()))
    if "type" in answer:
        return Answers(said=(Said(_shape(_checked(answer), where="that was sent"), None),))
    return Answers(complete=(decision_of(answer),))


def decisions(
    answers: Answers, *, open_now: Sequence[ApprovalRequest], asked_so_far: int, by: str
) -> tuple[Decision, ...]:
    """Address what was said to the questions of one run.

    Args:
        answers: what arrived.
        open_now: the run's open questions.
        asked_so_far: how many questions it has asked, answered and void ones included.
        by: who answers; these shapes do not say.

    Raises:
        InvalidDecision: ambiguous, to nothing that is asked, of another action, or by nobody.
    """
    if not answers.said:
        return answers.complete
    if not by.strip():
        raise InvalidDecision(
            "this answer does not say who gives it. Pass it beside it: context=RunContext(principal='alice')."
        )
    open_by_id = {request.id: request for request in open_now}
    if any(said.approval is None for said in answers.said):
        return (_decision(answers.said[0].shape, _only(answers.said, open_now, asked_so_far), by),)
    found = []
    for said in answers.said:
        request = open_by_id.get(said.approval or "")
        if request is None:
            asked = ", ".join(open_by_id) or "nothing"
            raise InvalidDecision(f"{said.approval} is not asked by this run (it asks {asked}). Nothing was recorded.")
        found.append(_decision(said.shape, request, by))
    return tuple(found)


def answer_to(request: ApprovalRequest, answer: object, *, by: str) -> list[dict[str, JsonValue]]:
    """An answer that can only be to this question, because it was asked by itself: addressed, in our own shape.

    Raises:
        InvalidDecision: it is none.
    """
    return [said.plain() for said in decisions(read(answer), open_now=(request,), asked_so_far=1, by=by)]


def _checked(answer: T) -> T:
    try:
        storable(answer, where="the answer")
    except InvalidValue as error:
        raise InvalidDecision(str(error)) from None
    return answer


def _list(answer: list[Any]) -> Answers:
    if all(isinstance(said, dict) and "approval" in said for said in answer):
        return Answers(complete=_different(tuple(decision_of(said) for said in answer)))
    return Answers(said=tuple(Said(_shape(said, where=f"number {n}"), None) for n, said in enumerate(answer, start=1)))


def _positional(answer: dict[str, Any]) -> Answers:
    said, ids = answer["decisions"], answer.get("approvals")
    if extra := sorted(map(str, answer.keys() - {"decisions", "approvals"})):
        raise InvalidDecision(f"beside 'decisions' there is {', '.join(extra)}, which nobody reads. {_RIGHT}.")
    if not isinstance(said, list) or not said:
        raise InvalidDecision(f"'decisions' is {said!r:.60}, not a list of decisions. {_RIGHT}.")
    shapes = [_shape(one, where=f"number {number}") for number, one in enumerate(said, start=1)]
    if ids is None:
        return Answers(said=tuple(Said(shape, None) for shape in shapes))
    if not isinstance(ids, list) or len(ids) != len(said) or len(set(map(str, ids))) != len(ids):
        raise InvalidDecision(
            f"'approvals' has to name one approval for each of the {len(said)} decisions, each once. {_RIGHT}."
        )
    return Answers(said=tuple(Said(shape, str(name)) for shape, name in zip(shapes, ids, strict=True)))


def _shape(said: object, *, where: str) -> _Shape:
    kind = said.get("type") if isinstance(said, dict) else None
    name = "edit of an inbox" if kind == "edit" and isinstance(said, dict) and "edited_action" not in said else kind
    if not isinstance(name, str) or name not in _SHAPES:
        raise InvalidDecision(f"the answer {where} is of no known type: {said!r:.80}. {_RIGHT}.")
    try:
        shape: _Shape = _SHAPES[name].validate_python(said)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InvalidDecision(f"the answer {where} is malformed ({wrong}). {_EXAMPLES[name]}") from None
    return shape


def _only(said: Sequence[Said], open_now: Sequence[ApprovalRequest], asked_so_far: int) -> ApprovalRequest:
    """The one question that an answer without an address can be to."""
    if len(said) == len(open_now) == asked_so_far == 1:
        return open_now[0]
    asked = ", ".join(request.id for request in open_now) or "nothing"
    why = (
        f"{len(said)} answers"
        if len(said) > 1
        else f"the run asks {asked}, and has asked {asked_so_far} questions in all"
    )
    raise InvalidDecision(
        f"it is not clear what this answers ({why}): in the same place there may be another question by now. "
        f"Send the ids that were shown with it: {{'decisions': […], 'approvals': ['{PREFIX}…']}}. Nothing was recorded."
    )


def _decision(shape: _Shape, request: ApprovalRequest, by: str) -> Decision:
    kind, comment, args = _meaning(shape, request)
    return decision_of({"approval": request.id, "type": kind, "by": by, "comment": comment, "args": args})


def _meaning(shape: _Shape, request: ApprovalRequest) -> tuple[DecisionType, str, Mapping[str, JsonValue] | None]:
    match shape:
        case _Approve():
            return "approve", "", None
        case _Reject():
            return "reject", shape.message or "", None
        case _Respond():
            return "respond", shape.message, None
        case _Edit():
            return "edit", "", _same_action(shape.edited_action.name, shape.edited_action.args, request)
        case _InboxEdit():
            return "edit", "", _same_action(shape.args.action, shape.args.args, request)
        case _Response():
            return ("respond" if "respond" in request.allowed else "reject"), shape.args, None
        case _Accept():
            return ("approve" if shape.type == "accept" else "reject"), "", None


def _same_action(name: str, args: Mapping[str, JsonValue], request: ApprovalRequest) -> Mapping[str, JsonValue]:
    if name != request.tool:
        raise InvalidDecision(
            f"the edit is of {name!r:.80}, and approval {request.id} asks about {request.tool!r}: an edit changes "
            "arguments, not the tool. Nothing was recorded."
        )
    return args


def _different(found: tuple[Decision, ...]) -> tuple[Decision, ...]:
    if len({decision.approval for decision in found}) != len(found):
        raise InvalidDecision("the list answers one approval twice. Send one answer for each.")
    return found


_EXAMPLES = {
    "approve": "Send {'type': 'approve'}.",
    "edit": "Send {'type': 'edit', 'edited_action': {'name': <tool>, 'args': {<all arguments>}}}.",
    "edit of an inbox": (
        "Send {'type': 'edit', 'edited_action': {'name': <tool>, 'args': {<all arguments>}}}, or as an inbox does: "
        "{'type': 'edit', 'args': {'action': <tool>, 'args': {<all arguments>}}}."
    ),
    "reject": "Send {'type': 'reject', 'message': <why>}.",
    "respond": "Send {'type': 'respond', 'message': <what to do first>}.",
    "accept": "Send {'type': 'accept', 'args': None}.",
    "ignore": "Send {'type': 'ignore', 'args': None}.",
    "response": "Send {'type': 'response', 'args': <text>}.",
}
