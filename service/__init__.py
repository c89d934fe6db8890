"""The outside: the command line. Imports everything above; nothing imports it."""
