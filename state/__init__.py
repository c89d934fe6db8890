"""The vocabulary: plan, step, run, approval, effect; statuses and their transitions; errors. Imports nothing of ours."""
