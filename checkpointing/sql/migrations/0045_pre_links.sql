-- Links that answer an approval: which were used, and which are not believed any more. A link itself is stored nowhere;
-- what it is signed with is no business of the database.

CREATE TABLE gatepost.used_link (
    link_id text PRIMARY KEY,
    approval_id text NOT NULL REFERENCES gatepost.approval (approval_id) ON DELETE CASCADE,
    principal text NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
COMMENT ON TABLE gatepost.used_link IS 'written in the transaction that records the answer, so a link answers once';
CREATE INDEX used_link_by_approval ON gatepost.used_link (approval_id);
GRANT SELECT, INSERT ON gatepost.used_link TO gatepost_app;

CREATE TABLE gatepost.revoked_link (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval_id text NOT NULL REFERENCES gatepost.approval (approval_id) ON DELETE CASCADE,
    principal text,
    revoked_by text NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
COMMENT ON TABLE gatepost.revoked_link IS 'ends every link to the approval that was made before; null: whoever it is for';
CREATE INDEX revoked_link_by_approval ON gatepost.revoked_link (approval_id);
GRANT SELECT, INSERT ON gatepost.revoked_link TO gatepost_app;
