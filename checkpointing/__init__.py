"""Everything that Postgres remembers: connecting, migrations, saver and unit of work, ledger, approvals, history."""
