-- Trained models and the stages that they pass through. A model is never changed: another training is another version.

create table pynomaly.models (
    name varchar not null check (name <> ''),
    version integer not null check (version > 0),
    algorithm varchar not null,
    parameters json not null,
    seed bigint not null,
    features varchar[] not null,
    encodings json not null,
    source varchar not null,
    source_rows bigint not null,
    fitted_rows bigint not null,
    fingerprint varchar not null,
    threshold double,
    cut_off varchar not null,
    notes varchar[] not null,
    metrics json,
    libraries json not null,
    fit_seconds double not null,
    peak_memory_bytes bigint,
    state blob not null,
    digest varchar not null,
    run_id uuid,
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, version)
);

comment on table pynomaly.models is 'One trained model a row; the versions of a name count up';
comment on column pynomaly.models.name is 'What the model is called';
comment on column pynomaly.models.version is 'Number of the training under this name, from 1';
comment on column pynomaly.models.algorithm is 'Algorithm that was fitted, never auto';
comment on column pynomaly.models.parameters is 'Every parameter of the algorithm with its value, defaults included';
comment on column pynomaly.models.seed is 'Seed of the sample and of the algorithm';
comment on column pynomaly.models.features is 'Columns that the model needs, by name';
comment on column pynomaly.models.encodings is 'How each column becomes numbers, in words';
comment on column pynomaly.models.source is 'What the model was trained on, as it was named';
comment on column pynomaly.models.source_rows is 'Rows of that source';
comment on column pynomaly.models.fitted_rows is 'Rows of it that were sampled and fitted';
comment on column pynomaly.models.fingerprint is 'SHA-256 of the fitted rows in a canonical order: equal rows, equal fingerprint';
comment on column pynomaly.models.threshold is 'Score above which a row is flagged; NULL where there is none';
comment on column pynomaly.models.cut_off is 'How the threshold was chosen, in words';
comment on column pynomaly.models.notes is 'What a person should know of the fit';
comment on column pynomaly.models.metrics is 'AUROC, average precision, precision, recall and F1 on the fitted rows, where a label was given';
comment on column pynomaly.models.libraries is 'Versions of Pynomaly, Python and the libraries that took part';
comment on column pynomaly.models.fit_seconds is 'Wall seconds of the fit';
comment on column pynomaly.models.peak_memory_bytes is 'How far the memory of the process rose during the fit; NULL where that cannot be told';
comment on column pynomaly.models.state is 'The fitted model, in the format that docs/model-format.md describes';
comment on column pynomaly.models.digest is 'SHA-256 of the state';
comment on column pynomaly.models.run_id is 'Run that the model belongs to; NULL for one that was trained by name';
comment on column pynomaly.models.created_at is 'When it was trained';
comment on column pynomaly.models.created_by is 'Who trained it';

create table pynomaly.model_stages (
    name varchar not null,
    number integer not null check (number > 0),
    version integer not null,
    stage varchar not null check (stage in ('draft', 'staging', 'champion', 'retired')),
    changed_at timestamptz not null default now(),
    changed_by varchar not null,
    primary key (name, number),
    foreign key (name, version) references pynomaly.models (name, version)
);

comment on table pynomaly.model_stages is 'Every change of a model''s stage, one a row; the last one of a version counts';
comment on column pynomaly.model_stages.name is 'Name of the model';
comment on column pynomaly.model_stages.number is 'Number of the change under this name, from 1';
comment on column pynomaly.model_stages.version is 'Version that changes its stage';
comment on column pynomaly.model_stages.stage is 'Stage from now on: draft, staging, champion or retired';
comment on column pynomaly.model_stages.changed_at is 'When it changed';
comment on column pynomaly.model_stages.changed_by is 'Who changed it';
