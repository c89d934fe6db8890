"""What a step costs, measured: one table from one run on one Postgres with fsync on.

Counts (commits, bytes) are exact; times are only good as ratios of the same run. docs/performance.md
says how each number comes about and what was found.
"""
