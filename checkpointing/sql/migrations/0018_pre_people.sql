-- Who may answer, in whose place, and everything that people said to a question. All of it is only added to; what ends
-- keeps its row, with who ended it and when.

CREATE TABLE gatepost.principal_role (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    principal text NOT NULL,
    role text NOT NULL,
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT gatepost.now(),
    revoked_by text,
    revoked_at timestamptz,
    CONSTRAINT principal_role_revoked_by_somebody CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);
CREATE UNIQUE INDEX principal_role_held ON gatepost.principal_role (tenant, principal, role) WHERE revoked_at IS NULL;
GRANT SELECT, INSERT, UPDATE (revoked_by, revoked_at) ON gatepost.principal_role TO gatepost_app;

CREATE TABLE gatepost.delegation (
    delegation_id text PRIMARY KEY,
    tenant text NOT NULL,
    giver text NOT NULL,
    delegate text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('all', 'role', 'workflow', 'tool')),
    scope text NOT NULL DEFAULT '',
    passes_on boolean NOT NULL DEFAULT false,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    given_by text NOT NULL,
    given_at timestamptz NOT NULL DEFAULT gatepost.now(),
    ended_by text,
    ended_at timestamptz,
    CONSTRAINT delegation_to_somebody_else CHECK (giver <> delegate),
    CONSTRAINT delegation_has_a_scope CHECK ((kind = 'all') = (scope = '')),
    CONSTRAINT delegation_ended_by_somebody CHECK ((ended_by IS NULL) = (ended_at IS NULL))
);
COMMENT ON COLUMN gatepost.delegation.passes_on IS 'whether the delegate may delegate it in turn';
CREATE INDEX delegation_to ON gatepost.delegation (tenant, delegate);
GRANT SELECT, INSERT, UPDATE (ended_by, ended_at) ON gatepost.delegation TO gatepost_app;

-- Every answer that counted, the deciding one as well; gatepost.decision has the one that decided.
CREATE TABLE gatepost.vote (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval_id text NOT NULL REFERENCES gatepost.approval (approval_id) ON DELETE CASCADE,
    level smallint NOT NULL,
    principal text NOT NULL,
    counted_as text NOT NULL,
    roles text[] NOT NULL,
    via text[] NOT NULL,
    type text NOT NULL CHECK (type IN ('approve', 'edit', 'reject', 'respond')),
    comment text NOT NULL DEFAULT '',
    args json,
    digest text NOT NULL,
    channel text NOT NULL,
    authenticated text NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
COMMENT ON COLUMN gatepost.vote.level IS 'of the question when it was given: the votes of one level are counted together';
COMMENT ON COLUMN gatepost.vote.counted_as IS 'the principal, or who delegated to them';
COMMENT ON COLUMN gatepost.vote.digest IS 'of the action that it says yes to';
CREATE INDEX vote_by_approval ON gatepost.vote (approval_id, number);
GRANT SELECT, INSERT ON gatepost.vote TO gatepost_app;

-- What else happened to a question: comments, answers that were refused, the time that was up.
CREATE TABLE gatepost.approval_event (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval_id text NOT NULL REFERENCES gatepost.approval (approval_id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('comment', 'refused', 'escalated', 'expired')),
    actor text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
CREATE INDEX approval_event_by_approval ON gatepost.approval_event (approval_id, number);
GRANT SELECT, INSERT ON gatepost.approval_event TO gatepost_app;

ALTER TABLE gatepost.decision ADD COLUMN on_behalf_of text NOT NULL DEFAULT '';
ALTER TABLE gatepost.decision ADD COLUMN act_by timestamptz;
COMMENT ON COLUMN gatepost.decision.act_by IS 'how long the yes is good for';
