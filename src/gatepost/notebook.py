"""What a notebook imports: `from gatepost.notebook import stepper`, then `stepper(graph, run_id)` as a cell's value."""

from __future__ import annotations

from gatepost.service.notebook.stepper import Stepper, stepper

__all__ = ["Stepper", "stepper"]
