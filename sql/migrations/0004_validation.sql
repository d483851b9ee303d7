-- What the rows of a source shall keep, and what checking it found. A row is written once and never changed; of several
-- versions of a set of rules under one name the one with the highest number counts.

create table pynomaly.rules (
    name varchar not null check (name <> ''),
    version integer not null check (version > 0),
    number integer not null check (number > 0),
    kind varchar not null,
    columns varchar[] not null,
    parameters json not null,
    severity varchar not null check (severity in ('error', 'warning')),
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, version, number)
);

comment on table pynomaly.rules is 'One rule of one version of a set of rules a row; the last version counts';
comment on column pynomaly.rules.name is 'What the set of rules is called: its source or dataset, or any other name';
comment on column pynomaly.rules.version is 'Number of the version under this name, from 1';
comment on column pynomaly.rules.number is 'Place of the rule in its set, from 1';
comment on column pynomaly.rules.kind is 'Kind of the rule, such as not_null or range';
comment on column pynomaly.rules.columns is 'Columns that the rule is about; empty for one about the source';
comment on column pynomaly.rules.parameters is 'Parameters of the rule with their values';
comment on column pynomaly.rules.severity is 'error where a row that breaks the rule makes the source invalid, else warning';
comment on column pynomaly.rules.created_at is 'When this version was made';
comment on column pynomaly.rules.created_by is 'Who made it';

create table pynomaly.validations (
    id uuid primary key,
    source varchar not null,
    n_rows bigint not null,
    is_valid boolean not null,
    rules json not null,
    rules_name varchar,
    rules_version integer,
    findings struct(
        rule varchar, column_name varchar, severity varchar, n_failing bigint, example varchar, predicate varchar
    )[] not null,
    created_at timestamptz not null default now(),
    created_by varchar not null
);

comment on table pynomaly.validations is 'One check of a source by rules a row';
comment on column pynomaly.validations.id is 'Identifies the validation';
comment on column pynomaly.validations.source is 'What was checked, as it was named';
comment on column pynomaly.validations.n_rows is 'Rows of the source';
comment on column pynomaly.validations.is_valid is 'Whether there was no finding of severity error';
comment on column pynomaly.validations.rules is 'Rules that were checked';
comment on column pynomaly.validations.rules_name is 'Name of the set that has the rules; NULL where they were given';
comment on column pynomaly.validations.rules_version is 'Version of that set';
comment on column pynomaly.validations.findings is 'What breaks the rules: one finding for each rule that is broken';
comment on column pynomaly.validations.created_at is 'When the source was checked';
comment on column pynomaly.validations.created_by is 'Who checked it';
