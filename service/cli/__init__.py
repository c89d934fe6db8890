"""The command line: `gatepost`."""
