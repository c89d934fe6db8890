"""The reference workflows, each runnable with one command."""
