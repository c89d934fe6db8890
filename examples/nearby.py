"""Where the example services of this machine answer; they are started where they do not run yet."""

from __future__ import annotations

import os

from gatepost.checkpointing.embedded import default_home
from gatepost.examples.services import ensure_services


def services_url() -> str:
    """Their base URL: as the environment names it, or that of the home's own.

    Raises:
        ServicesNotStarted: they do not start; says why.
    """
    return ensure_services(default_home(), environ=os.environ)
