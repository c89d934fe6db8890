"""Notices to people: who is told, through what, and the errand of telling them."""
