-- Pipelines of features. A pipeline is never changed: another definition is another version.

create table pynomaly.pipelines (
    name varchar not null check (name <> ''),
    version integer not null check (version > 0),
    steps varchar[] not null check (len(steps) > 0),
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, version)
);

comment on table pynomaly.pipelines is 'One version of a pipeline a row: a list of feature macros that are applied by its name';
comment on column pynomaly.pipelines.name is 'What the pipeline is called';
comment on column pynomaly.pipelines.version is 'Number of the definition under this name, from 1';
comment on column pynomaly.pipelines.steps is 'Calls of feature macros, and columns that stay as they are';
comment on column pynomaly.pipelines.created_at is 'When it was defined';
comment on column pynomaly.pipelines.created_by is 'Who defined it';

alter table pynomaly.models add column pipeline json;

comment on column pynomaly.models.pipeline is 'Name, version, steps and fitted constants of the pipeline before the model; NULL where there is none';
