"""The vocabulary: plan, step, approval, effect; statuses and their transitions; errors. Imports nothing of ours."""
