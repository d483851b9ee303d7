-- What a server keeps of its people's work: who may see what of whom, jobs, what was done, and what was answered.

create table pynomaly.shares (
    kind varchar not null check (kind in ('dataset', 'model', 'detector')),
    name varchar not null check (name <> ''),
    grantee varchar not null check (grantee <> ''),
    number integer not null check (number > 0),
    revoked boolean not null default false,
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (kind, name, grantee, number)
);

comment on table pynomaly.shares is 'Every change of what somebody may see of another''s, one a row; the last one counts';
comment on column pynomaly.shares.kind is 'What is shared: a dataset, a model or a detector';
comment on column pynomaly.shares.name is 'Its name';
comment on column pynomaly.shares.grantee is 'User who may see it; * for everybody';
comment on column pynomaly.shares.number is 'Number of the change for this user, from 1';
comment on column pynomaly.shares.revoked is 'Whether it is hidden again from this change on';
comment on column pynomaly.shares.created_at is 'When it changed';
comment on column pynomaly.shares.created_by is 'Who changed it';

-- No other table refers to a job: its row is changed in place.
create table pynomaly.jobs (
    id uuid primary key,
    kind varchar not null,
    request json not null,
    status varchar not null check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    attempts integer not null default 0,
    result json,
    problem json,
    batch uuid,
    request_id varchar,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    ended_at timestamptz,
    created_by varchar not null
);

comment on table pynomaly.jobs is 'One piece of work that a server does for a user, one a row';
comment on column pynomaly.jobs.id is 'Identifies the job, and the run that it makes';
comment on column pynomaly.jobs.kind is 'What is done, such as detect or train';
comment on column pynomaly.jobs.request is 'What was asked for';
comment on column pynomaly.jobs.status is 'queued, running, succeeded, failed or cancelled';
comment on column pynomaly.jobs.attempts is 'How often it was started; a server that was killed starts its jobs again';
comment on column pynomaly.jobs.result is 'What came of it';
comment on column pynomaly.jobs.problem is 'The error that ended it, as RFC 9457 tells it';
comment on column pynomaly.jobs.batch is 'What the jobs of one request have in common; NULL for a job by itself';
comment on column pynomaly.jobs.request_id is 'Request that made it, as the logs have it';
comment on column pynomaly.jobs.created_at is 'When it was asked for';
comment on column pynomaly.jobs.started_at is 'When it was last started';
comment on column pynomaly.jobs.ended_at is 'When it ended';
comment on column pynomaly.jobs.created_by is 'Who asked for it';

create table pynomaly.audit (
    answered_at timestamptz not null default now(),
    action varchar not null,
    object varchar,
    status integer not null,
    error_code varchar,
    request_id varchar not null,
    address varchar,
    who varchar
);

comment on table pynomaly.audit is 'Every request that changed something or was refused, one a row';
comment on column pynomaly.audit.answered_at is 'When it was answered';
comment on column pynomaly.audit.action is 'Method and path of the request';
comment on column pynomaly.audit.object is 'What it was about';
comment on column pynomaly.audit.status is 'Status of the answer';
comment on column pynomaly.audit.error_code is 'Code of the error; NULL for none';
comment on column pynomaly.audit.request_id is 'Identifies the request, as the logs have it';
comment on column pynomaly.audit.address is 'Where it came from';
comment on column pynomaly.audit.who is 'User who asked; NULL for nobody known';

create table pynomaly.replies (
    who varchar not null,
    key varchar not null,
    request varchar not null,
    status integer not null,
    headers json not null,
    body blob not null,
    created_at timestamptz not null default now(),
    primary key (who, key)
);

comment on table pynomaly.replies is 'What a request with an Idempotency-Key was answered, one a row, kept for a day';
comment on column pynomaly.replies.who is 'User who asked';
comment on column pynomaly.replies.key is 'The Idempotency-Key';
comment on column pynomaly.replies.request is 'SHA-256 of method, path and body: the key stands for this request alone';
comment on column pynomaly.replies.status is 'Status of the answer';
comment on column pynomaly.replies.headers is 'Headers of the answer';
comment on column pynomaly.replies.body is 'Body of the answer';
comment on column pynomaly.replies.created_at is 'When it was answered';

alter table pynomaly.queries add column request_id varchar;
comment on column pynomaly.queries.request_id is 'Request to a server that ran it; NULL elsewhere';
