"""Tries to have a file of routes read that cannot be meant, or an address show up in what is said about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.service.notices.post import Post
from gatepost.service.notices.routes import read_routes
from gatepost.state.errors import CallerMistake


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("route = 3", "it has no route"),
        ('[[route]]\nname = "a"\n', "has no address"),
        ('[[route]]\nname = "a b"\nurls = ["json://x"]', "needs a name"),
        ('[[route]]\nname = "a"\nurl = ["json://x"]', "Did you mean 'urls'"),
        ('[[route]]\nname = "a"\nurls = ["json://${NOT_SET_HERE}/tok3n"]', "environment variable NOT_SET_HERE"),
        ('[[route]]\nname = "a"\nurls = ["tok3n"]', "address 1 of route 'a' is none that apprise knows"),
        ('[[route]]\nname = "a"\nurls = ["json://x"]\nevents = ["asks"]', "there is no event 'asks'"),
        ('[[route]]\nname = "a"\nurls = ["json://x"]\nroles = ["r"]\npeople = ["p"]', "is for roles or for people"),
        ('[[route]]\nname = "a"\nurls = ["json://x"]\n' * 2, "two routes are called 'a'"),
        ("[[route]", "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_without_an_address(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "n.toml").write_text(text)
    with pytest.raises(CallerMistake, match=said) as refused:
        Post(read_routes(tmp_path / "n.toml", {}))
    assert "tok3n" not in str(refused.value)


def test_without_the_extra_it_is_named() -> None:
    code = (
        "import sys; sys.modules['apprise'] = None\n"
        "from gatepost.service.notices.post import Post\n"
        "from gatepost.service.notices.routes import Routes\n"
        "try:\n    Post(Routes(()))\nexcept Exception as e:\n    print(e)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'gatepost[notices]'" in said
