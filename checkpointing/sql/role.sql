-- The application role. Roles belong to the cluster and not to a database, so they are no part of a numbered
-- migration or of the snapshot: both roads run this file first, and running it again changes nothing.
--
-- gatepost_app cannot log in. A connection acts as it (libpq options "-c role=gatepost_app"), and the user who
-- migrates is its member, so that this user's own connections may. Plain GRANT carries the right to SET ROLE
-- in every version from 15 to 18; "WITH SET" would be an error before 16. From 16 on the maker of a role is its
-- member without that right, so it is 'SET' that is asked for, a word that 15 does not know.
--
-- Databases of one cluster migrate at once, and no lock of one is seen by another: whoever loses the race finds
-- the role made (duplicate_object, unique_violation) or changed beneath it (internal_error: "tuple concurrently
-- updated"), and looks again.

DO $role$
DECLARE
    app pg_catalog.pg_roles%ROWTYPE;
    right_to_act text := CASE
        WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER'
    END;
BEGIN
    FOR attempt IN 1 .. 20 LOOP
        BEGIN
            SELECT * INTO app FROM pg_catalog.pg_roles WHERE rolname = 'gatepost_app';
            IF NOT FOUND THEN
                CREATE ROLE gatepost_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
                CONTINUE;
            END IF;
            IF app.rolsuper OR app.rolbypassrls OR app.rolcreaterole OR app.rolcreatedb THEN
                RAISE EXCEPTION 'the role gatepost_app exists with rights that it must not have'
                    USING HINT = 'ALTER ROLE gatepost_app NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS';
            END IF;
            IF NOT pg_catalog.pg_has_role(app.oid, right_to_act) THEN
                GRANT gatepost_app TO CURRENT_USER;
            END IF;
            RETURN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation OR internal_error THEN
                PERFORM pg_catalog.pg_sleep(0.05);
        END;
    END LOOP;
    RAISE EXCEPTION 'the role gatepost_app is being changed by others without end';
END
$role$;
