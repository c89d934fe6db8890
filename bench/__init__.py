"""What a transition costs, measured: counts are exact, times are ratios from one run on one server."""
