-- Who may use a server and by what; no password, key, token or cookie is here, only digests of them.

create schema accounts;

create table accounts.signing_keys (
    id integer primary key,
    secret blob not null,
    created_at timestamptz not null
);

comment on table accounts.signing_keys is 'What access tokens are signed with, one key a row';
comment on column accounts.signing_keys.id is 'Number of the key, from 1; the last one signs';
comment on column accounts.signing_keys.secret is 'The key: 256 random bits';
comment on column accounts.signing_keys.created_at is 'When it was made';

create table accounts.users (
    name varchar primary key,
    display_name varchar not null,
    role varchar not null,
    disabled boolean not null,
    password varchar,
    settings json not null,
    created_at timestamptz not null,
    created_by varchar not null,
    deleted_at timestamptz
);

comment on table accounts.users is 'One user a row; a name is never given to another one, since rows of the workspace carry it';
comment on column accounts.users.name is 'Name, as the workspace''s created_by has it; unique in any case of its letters';
comment on column accounts.users.display_name is 'What people call the user';
comment on column accounts.users.role is 'Bundle of permissions: admin, user or viewer';
comment on column accounts.users.disabled is 'Whether the user is kept out';
comment on column accounts.users.password is 'Argon2id digest of the password; NULL until the user has set one';
comment on column accounts.users.settings is 'What the user chose for the console, such as theme and time zone';
comment on column accounts.users.created_at is 'When the user was added';
comment on column accounts.users.created_by is 'Who added the user';
comment on column accounts.users.deleted_at is 'When the user was removed; NULL for one who is there';

create table accounts.sessions (
    id varchar primary key,
    user_name varchar not null,
    kind varchar not null check (kind in ('session', 'token')),
    digest varchar not null,
    number integer not null,
    created_at timestamptz not null,
    used_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    ended_because varchar
);

comment on table accounts.sessions is 'One sign-in a row: a session of the console, or a family of access and refresh tokens';
comment on column accounts.sessions.id is 'Identifies the session; access tokens carry it';
comment on column accounts.sessions.user_name is 'Who signed in';
comment on column accounts.sessions.kind is 'session for a cookie of the console, token for access and refresh tokens';
comment on column accounts.sessions.digest is 'SHA-256 of the cookie or of the last refresh token';
comment on column accounts.sessions.number is 'Number of the last refresh token, from 1; an older one that comes again ends the session';
comment on column accounts.sessions.created_at is 'When the user signed in';
comment on column accounts.sessions.used_at is 'When it was last used, to the minute';
comment on column accounts.sessions.expires_at is 'When it ends at the latest';
comment on column accounts.sessions.ended_at is 'When it was ended; NULL for a live one';
comment on column accounts.sessions.ended_because is 'Why it was ended';

create table accounts.api_keys (
    id varchar primary key,
    user_name varchar not null,
    name varchar not null,
    digest varchar not null,
    scopes varchar[] not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);

comment on table accounts.api_keys is 'One API key a row';
comment on column accounts.api_keys.id is 'Identifies the key; the key itself begins with it';
comment on column accounts.api_keys.user_name is 'Whose key it is';
comment on column accounts.api_keys.name is 'What it is for';
comment on column accounts.api_keys.digest is 'SHA-256 of the key';
comment on column accounts.api_keys.scopes is 'Permissions that it carries, as far as its user has them';
comment on column accounts.api_keys.created_at is 'When it was made';
comment on column accounts.api_keys.expires_at is 'When it ends; NULL for never';
comment on column accounts.api_keys.last_used_at is 'When it was last used, to the minute; NULL for never';
comment on column accounts.api_keys.revoked_at is 'When it was revoked; NULL for a live one';

create table accounts.links (
    digest varchar primary key,
    user_name varchar,
    created_at timestamptz not null,
    created_by varchar not null,
    expires_at timestamptz not null
);

comment on table accounts.links is 'One sign-in link that nobody has used yet a row';
comment on column accounts.links.digest is 'SHA-256 of the link''s token';
comment on column accounts.links.user_name is 'Who sets a password with it; NULL for the first administrator';
comment on column accounts.links.created_at is 'When it was made';
comment on column accounts.links.created_by is 'Who made it';
comment on column accounts.links.expires_at is 'When it ends';

create table accounts.failures (
    subject varchar primary key,
    failed integer not null,
    last_at timestamptz not null,
    locked_until timestamptz
);

comment on table accounts.failures is 'Failed sign-ins, counted by user, by address and by both';
comment on column accounts.failures.subject is 'What is counted: pair, user or address, and which';
comment on column accounts.failures.failed is 'Failures since the last success or a quiet hour';
comment on column accounts.failures.last_at is 'When the last one was';
comment on column accounts.failures.locked_until is 'No attempt is looked at before; NULL for none';
