"""The service over HTTP: an API under /v1, and what its pages share with it."""
