"""Tries to be misled by `gatepost policy`: a check that passes a typo, an explanation that is not what the gate says,
a table of cases that passes whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gatepost import Policy
from gatepost.examples.vendor_onboarding import WORKFLOW
from gatepost.nodes.policy import Verdict
from gatepost.nodes.policy_explain import explain
from gatepost.nodes.policy_question import Question
from gatepost.nodes.policy_sets import PolicySets
from gatepost.service.cli.app import app
from gatepost.service.cli.policy_check import TEST_HELP
from gatepost.testing import Database

EXAMPLES = Path(__file__).parents[2] / "examples"
TILL = """
from gatepost import EffectContext, FixedPlan, Plan, Step, Workflow, ref, tool

@tool(effect="read")
def look(name: str) -> dict[str, str]:
    return {"name": name}

@tool(effect="write", on_doubt="retry", cost="cents")
def charge(ctx: EffectContext, customer: str, cents: int) -> str:
    return "charged"

steps = (
    Step(id="look", tool="look", args={"name": "ada"}),
    Step(id="charge", tool="charge", args={"customer": ref("look", "/name"), "cents": 100}),
    Step(id="late", tool="charge", args={"customer": ref("charge"), "cents": 1}),
)
SELL = Workflow(name="sell", goals=("sell",), strategy=FixedPlan(Plan(steps=steps)), tools=(look, charge), budget=100)
"""
SMALL = """@id("small") permit (principal, action == Action::"run", resource)
when { context.tool == "charge" && context.args.cents < 50 && context.time.hour < 18 };
@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("big") forbid (principal, action == Action::"run", resource)
when { context.args has cents && context.args.cents > 500 };
@id("others") permit (principal, action == Action::"decide", resource) when { context.roles.contains("cfo") };
"""
Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "tilled.py").write_text(TILL)
    (tmp_path / "small.cedar").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = ("--workflows", "tilled:SELL", "--policy", "small.cedar")
    return lambda *words: CliRunner().invoke(app, [*before, *words])


def explained(command: Command, *words: str) -> dict[str, Any]:
    result = command("policy", "explain", "--json", *words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# check


def test_check_passes_what_fits_and_says_what_it_checked(command: Command) -> None:
    result = command("policy", "check", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["ok"], said["findings"]) == (0, True, [])
    assert [one["of"] for one in said["sets"]] == ["deployment", "workflow loan", "workflow vendor_onboarding"]


def test_check_names_file_line_column_and_fix(command: Command) -> None:
    Path("bad.cedar").write_text(SMALL.replace('context.tool == "charge"', 'context.tool == "chrage"'))
    result = command("policy", "check", "small.cedar", "bad.cedar")
    assert result.exit_code == 2
    assert result.stdout == 'bad.cedar:2:24: small: no tool is called "chrage". Did you mean `charge`?\n'
    said = json.loads(command("policy", "check", "bad.cedar", "--json").stdout)
    assert (said["ok"], said["findings"][0]["line"], said["findings"][0]["column"]) == (False, 2, 24)


@pytest.mark.parametrize(
    "words", [("check", "no.cedar"), ("check", "torn.cedar"), ("test", "no.toml"), ("test", "torn.cedar")]
)
def test_a_file_that_cannot_be_read_is_bad_input(command: Command, words: tuple[str, ...]) -> None:
    Path("torn.cedar").write_text("permit (")
    result = command("policy", *words)
    assert result.exit_code == 2
    assert words[1] in result.stderr


def test_sets_of_tenants_are_checked_and_judge(command: Command) -> None:
    Path("tenants").mkdir()
    Path("tenants/acme.cedar").write_text(SMALL.replace("< 50", "< 5"))
    runner = CliRunner()
    before = ["--workflows", "tilled:SELL", "--policy", "small.cedar", "--policies", "tenants", "policy"]
    assert "tenant acme" in runner.invoke(app, [*before, "check"]).stderr
    asked = [*before, "explain", "--json", "charge", "customer=ada", "cents=10"]
    assert json.loads(runner.invoke(app, asked).stdout)["verdict"] == "run"
    said = json.loads(runner.invoke(app, [*asked, "--tenant", "acme"]).stdout)
    assert said["verdict"] == "ask"
    assert "the set of the tenant would permit it by small" in said["what_would_change_it"][0]


# explain


def test_explain_says_what_was_not_met_and_what_it_is(command: Command) -> None:
    said = explained(command, "charge", "customer=ada", "cents=60", "--at", "2026-01-05T19:00:00")
    assert (said["verdict"], said["policies"]) == ("ask", [])
    small = next(rule for rule in said["rules"] if rule["id"] == "small")
    assert [(one["holds"], one["line"]) for one in small["conditions"]] == [("yes", 2), ("no", 2), ("no", 2)]
    assert small["conditions"][1]["actual"] == "context.args.cents is 60"
    assert said["what_would_change_it"][0].startswith("the set of the deployment would permit it by reads")
    assert "context.time.hour < 18 (context.time.hour is 19)" in said["what_would_change_it"][1]


def test_what_explain_says_would_change_it_does(command: Command) -> None:
    assert explained(command, "charge", "customer=ada", "cents=60")["verdict"] == "ask"
    assert explained(command, "charge", "customer=ada", "cents=49")["verdict"] == "run"
    assert explained(command, "charge", "customer=ada", "cents=501")["verdict"] == "forbid"
    late = explained(command, "charge", "customer=ada", "cents=49", "--at", "2026-01-05T19:00:00")
    first, second = late["what_would_change_it"]
    assert first.endswith("by small (small.cedar:1), but for: when context.time.hour < 18 (context.time.hour is 19)")
    assert second.endswith(
        'by reads (small.cedar:3), but for: when context.effect == "read" (context.effect is "write")'
    )


def test_explain_shows_what_could_not_be_evaluated() -> None:
    policy = Policy('@id("p") permit (principal, action, resource) when { context.args.n > 1 && context.args.m > 1 };')
    asked = Question(
        principal="eve", tenant="a", step="s", tool="t", effect="write", origin="file", args={"n": 2}, workflow="w"
    )
    said = explain(PolicySets(policy).layers(workflow="w", tenant="a"), asked)
    assert said.judgement.verdict is Verdict.ASK
    assert [one.holds for one in said.rules[0].conditions] == ["yes", "error"]
    assert "context.args.m > 1 could not be evaluated" in said.changes[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chrage",), "no workflow has a tool 'chrage'; there are bureau_check, charge"),
        (("charge",), "does not take these arguments"),
        (("charge", "customer=ada", "cents=1", "--origin", "robot"), "no origin of a plan"),
        (("charge", "customer=ada", "cents=1", "--workflow", "nix"), "there is no workflow 'nix'"),
        ((), "name a tool"),
    ],
)
def test_questions_that_cannot_be_asked(command: Command, words: tuple[str, ...], said: str) -> None:
    result = command("policy", "explain", *words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_step_of_a_run_and_the_version_it_was_judged_under(command: Command, gatepost_database: Database) -> None:
    on = ("--database", gatepost_database.url)
    assert command(*on, "run", "--goal", "sell", "--id", "r1").exit_code == 3
    result = command(*on, "policy", "explain", "--run", "r1", "--step", "charge", "--json")
    said = json.loads(result.stdout)
    assert (said["verdict"], said["recorded"]["status"]) == ("ask", "blocked")
    version = said["recorded"]["policy_version"]
    assert said["policy_version"] == version
    assert SMALL in command(*on, "policy", "show", version[:8]).stdout
    assert [row["version"] for row in json.loads(command(*on, "policy", "list", "--json").stdout)] == [version]
    checked = json.loads(command(*on, "policy", "check", "--json").stdout)
    assert {"workflow": "sell", "tenant": "", "version": version} in checked["judging"]
    for printed in (version, *(one["version"] for one in checked["sets"] if one["of"] == "deployment")):
        assert SMALL in command(*on, "policy", "show", printed).stdout
    assert "is kept when a run is moved under it" in command(*on, "policy", "show", "f00").stderr
    Path("small.cedar").write_text(SMALL.replace("< 50", "< 500").replace("< 18", "< 24"))
    changed = command(*on, "policy", "explain", "--run", "r1", "--step", "charge").stdout
    assert f"judged under version {version}" in changed
    assert "run by small" in changed
    command(*on, "run", "--goal", "sell", "--id", "r2", "--tenant", "acme")
    theirs = command(*on, "policy", "explain", "--run", "r2", "--step", "charge", "--tenant", "acme")
    assert "recorded: succeeded" in theirs.stdout
    unknown = command(*on, "policy", "explain", "--run", "r1", "--step", "late")
    assert unknown.exit_code == 2
    assert "not known yet" in unknown.stderr


# test


def cases(*listed: dict[str, Any], **table: Any) -> Path:
    path = Path("cases.json")
    path.write_text(json.dumps({"case": listed, **table}))
    return path


CHARGE = {"tool": "charge", "args": {"customer": "ada", "cents": 49}}


@pytest.mark.parametrize(
    ("case", "found"),
    [
        pytest.param({**CHARGE, "expect": "run"}, "", id="as expected"),
        pytest.param({**CHARGE, "expect": "run", "policies": ["small"]}, "", id="by this policy"),
        pytest.param({**CHARGE, "expect": "run", "policies": ["reads"]}, "run by small", id="by another policy"),
        pytest.param({**CHARGE, "expect": "ask"}, "expected ask, found run", id="another verdict"),
        pytest.param({**CHARGE, "expect": "ask", "time": "2026-01-05T19:00:00Z"}, "", id="time"),
        pytest.param({**CHARGE, "expect": "run", "time": "2026-01-05T19:00:00+02:00"}, "", id="time elsewhere"),
        pytest.param({"tool": "look", "args": {"name": "x"}, "expect": "run", "origin": "model"}, "", id="origin"),
        pytest.param({"tool": "chrage", "expect": "ask"}, "no workflow has a tool", id="unknown tool"),
        pytest.param({"tool": "charge", "expect": "ask"}, "does not take these arguments", id="arguments"),
        pytest.param({"tool": "charge", "decider": "bo", "roles": ["cfo"], "expect": "may"}, "", id="may decide"),
        pytest.param({"tool": "charge", "decider": "bo", "expect": "may"}, "found may not", id="may not decide"),
    ],
)
def test_a_case_passes_when_the_policy_says_so_and_otherwise_shows_the_difference(
    command: Command, case: dict[str, Any], found: str
) -> None:
    result = command("policy", "test", str(cases(case)))
    assert result.exit_code == (4 if found else 0), result.output
    assert found in result.stdout
    assert json.loads(command("policy", "test", "cases.json", "--json").stdout)["ok"] is not bool(found)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param({"case": []}, "case", id="no cases"),
        pytest.param({"case": [{**CHARGE, "expect": "maybe"}]}, "expect", id="no verdict"),
        pytest.param({"case": [{**CHARGE, "expect": "may"}]}, "a case with a decider", id="may without a decider"),
        pytest.param({"case": [{**CHARGE, "expect": "run", "effect": "read"}]}, "effect", id="effect is the tool's"),
        pytest.param({"case": [{**CHARGE, "expect": "run"}], "policy": "no.cedar"}, "no.cedar", id="no such policy"),
    ],
)
def test_a_table_that_cannot_be_used_is_bad_input(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    (tmp_path / "cases.json").write_text(json.dumps(table))
    result = CliRunner().invoke(app, ["policy", "test", str(tmp_path / "cases.json")])
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("table", sorted(EXAMPLES.glob("*/policy_cases.toml")), ids=lambda path: path.parent.name)
def test_the_cases_of_the_examples_are_as_expected(table: Path) -> None:
    result = CliRunner().invoke(app, ["policy", "test", str(table)])
    assert result.exit_code == 0, result.output


def test_each_installed_example_has_a_policy_and_cases() -> None:
    assert WORKFLOW.policy is not None
    for plan in EXAMPLES.glob("*/planning.py"):
        assert (plan.parent / "policy.cedar").is_file()
        assert (plan.parent / "policy_cases.toml").is_file()


def test_the_help_of_the_table_is_a_table(command: Command) -> None:
    shown = command("policy", "test", "--help").stdout
    assert "[[case]]" in shown
    assert 'expect = "may not"' in shown


def test_the_schema_lists_every_argument_with_its_type(command: Command) -> None:
    shown = command("policy", "schema", "charge").stdout
    assert "charge\tcontext.args.cents\tLong" in shown
    assert "run\tcontext.budget\tLong (may be absent)" in shown
    assert "cents" in json.loads(command("policy", "schema", "--json").stdout)["charge"][""]["actions"]["run"][
        "appliesTo"]["context"]["attributes"]["args"]["attributes"]  # fmt: skip


def test_what_the_help_shows_works_as_it_stands(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["policy", "explain", "--help"], env={"COLUMNS": "200"}).stdout
    shown = re.search(r"Example: gatepost (policy explain \w+ \S+=.*)", said)
    assert shown is not None
    assert CliRunner().invoke(app, shown[1].split()).exit_code == 0
    table = re.search(r"\\b\n(.*?)\n\n", TEST_HELP.replace("\b", "\\b"), re.DOTALL)
    assert table is not None
    (tmp_path / "cases.toml").write_text(table[1].replace("\\", ""))
    tried = CliRunner().invoke(app, ["policy", "test", str(tmp_path / "cases.toml")])
    assert (tried.exit_code, "2 of 2" in tried.output) == (0, True), tried.output
