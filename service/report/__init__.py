"""The report of one run: a single HTML file for people, to mail or to keep, which loads and runs nothing."""
