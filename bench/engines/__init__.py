"""The engines that are compared: each drives a chain of steps, in its own documented way."""
