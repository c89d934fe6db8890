"""What a transition does: planner, policy gate, approval, executor, compensator, finalizer, and the tools they run."""
