"""Tries to catch docs/policy.md lying: its policy fits its example, its cases are as expected, its errors are ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gatepost.nodes.policy_schema import DECIDE, RUN
from gatepost.service.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text()
TYPO = """@id("small")
permit (principal, action == Action::"run", resource)
when { context.tool == "chrage" && context.args.cent < 50 };
"""


def block(language: str, text: str = PAGE) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def sale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "saledocs.py").write_text(block("python", (ROOT / "README.md").read_text()))
    (tmp_path / "sale.cedar").write_text(block("cedar"))
    (tmp_path / "sale_cases.toml").write_text(block("toml"))
    (tmp_path / "typo.cedar").write_text(TYPO)


def policy(*words: str) -> Result:
    return CliRunner().invoke(app, ["--workflows", "saledocs:sale", "policy", *words])


@pytest.mark.usefixtures("sale")
def test_the_policy_fits_the_example_of_the_readme_and_its_cases_hold() -> None:
    assert policy("check", "sale.cedar").exit_code == 0
    tried = policy("test", "sale_cases.toml")
    assert (tried.exit_code, tried.stderr) == (0, "4 of 4 as expected\n"), tried.output


@pytest.mark.usefixtures("sale")
def test_the_errors_shown_are_those_that_are_printed() -> None:
    shown = "".join(block("console").splitlines(keepends=True)[1:])
    assert policy("check", "typo.cedar").stdout == shown


def test_every_attribute_is_told_of() -> None:
    table = PAGE[PAGE.index("What a policy can look at") : PAGE.index("## Checked")]
    told = set(re.findall(r"\b\w+\b", " ".join(re.findall(r"`([^`]+)`", table))))
    assert {*RUN, *DECIDE} <= told


def test_the_tests_it_names_exist() -> None:
    for path in re.findall(r"`(tests/[\w/.]+|nodes/[\w/.]+)`", PAGE):
        assert (ROOT / path).is_file(), path
