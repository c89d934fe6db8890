"""Jupyter: a stepper through the checkpoints of a run, as a widget, and as one page of HTML that runs nothing."""
