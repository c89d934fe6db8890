-- The key of `gatepost dev` lasts minutes and is renewed while dev lives, so a process that was killed leaves none.
GRANT UPDATE (expires_at) ON gatepost.api_key TO gatepost_app;
