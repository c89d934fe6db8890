-- What the application may change in a row that exists: how far things are, never what they are.
--
-- UPDATE on whole tables let whoever acts as gatepost_app put other arguments under an approval that a person had
-- given, or another key under an effect. Now the request and digest of an approval, the identity of an effect and
-- what a run was started with are written once, by INSERT, whatever the code above them does.
--
-- A column that is not named here, and every column that a later migration adds, cannot be updated until a
-- migration grants it: forgotten means refused.
--
-- A correction to the head of 0001, which cannot be changed: there is no row-level security. Tenants are kept apart by
-- the queries, each of which names the tenant; whoever opens a connection of their own sees the rows of all.

DO $grants$
DECLARE
    changing constant json := '{
        "run": [
            "status", "reason", "priority", "seq", "plan_version", "owner", "epoch", "lease_expires_at", "wake_at",
            "wake_reason", "setbacks", "setback_seq", "trouble", "updated_at", "finished_at"
        ],
        "approval": ["status", "closed_at", "taken_seq"],
        "effect": ["state", "attempts", "attempted_at", "epoch", "result", "failure", "finished_at"]
    }';
    changed record;
BEGIN
    FOR changed IN
        SELECT named.key AS name, string_agg(quote_ident(attname), ', ') AS columns
        FROM json_each(changing) AS named
        JOIN pg_catalog.pg_attribute ON attrelid = ('gatepost.' || named.key)::regclass AND attnum > 0
        WHERE attname IN (SELECT json_array_elements_text(named.value))
        GROUP BY named.key
    LOOP
        EXECUTE format('REVOKE UPDATE ON gatepost.%I FROM gatepost_app', changed.name);
        EXECUTE format('GRANT UPDATE (%s) ON gatepost.%I TO gatepost_app', changed.columns, changed.name);
    END LOOP;
END $grants$;
