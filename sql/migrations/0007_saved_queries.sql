-- Queries that somebody keeps by name.

create table pynomaly.saved_queries (
    name varchar not null check (name <> ''),
    sql varchar not null,
    saved_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (created_by, name)
);

comment on table pynomaly.saved_queries is 'Queries that people keep by name, one a row; a name is its user''s own';
comment on column pynomaly.saved_queries.name is 'What the query is called';
comment on column pynomaly.saved_queries.sql is 'Its statement';
comment on column pynomaly.saved_queries.saved_at is 'When it was last saved';
comment on column pynomaly.saved_queries.created_by is 'Whose it is';
