-- What is detected, with what, when and by whom: detectors, datasets, runs, their results, what people said of them.
-- A row is written once and never changed; of several under one name the one with the highest number counts.

-- States are read one at a time: compressed with its neighbours, one would cost the unpacking of all of them.
create table pynomaly._models as from pynomaly.models;
create table pynomaly._model_stages as from pynomaly.model_stages;
drop table pynomaly.model_stages;
drop table pynomaly.models;

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
    state blob not null using compression uncompressed,
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

insert into pynomaly.models by name from pynomaly._models;
insert into pynomaly.model_stages by name from pynomaly._model_stages;
drop table pynomaly._model_stages;
drop table pynomaly._models;

create table pynomaly.detectors (
    name varchar not null check (name <> ''),
    version integer not null check (version > 0),
    options json not null,
    deleted boolean not null default false,
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, version)
);

comment on table pynomaly.detectors is 'One version of a named configuration a row; the last one counts';
comment on column pynomaly.detectors.name is 'What the detector is called';
comment on column pynomaly.detectors.version is 'Number of the change under this name, from 1';
comment on column pynomaly.detectors.options is 'Parameters of detect_anomalies that were given, with their values';
comment on column pynomaly.detectors.deleted is 'Whether the detector is gone from this version on';
comment on column pynomaly.detectors.created_at is 'When this version was made';
comment on column pynomaly.detectors.created_by is 'Who made it';

create table pynomaly.datasets (
    name varchar not null check (name <> ''),
    number integer not null check (number > 0),
    source varchar not null,
    options json not null,
    n_versions integer not null check (n_versions >= 0),
    deleted boolean not null default false,
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, number)
);

comment on table pynomaly.datasets is 'One change of a named dataset a row; the last one counts';
comment on column pynomaly.datasets.name is 'What the dataset is called';
comment on column pynomaly.datasets.number is 'Number of the change under this name, from 1';
comment on column pynomaly.datasets.source is 'Where its rows come from';
comment on column pynomaly.datasets.options is 'How the source is read';
comment on column pynomaly.datasets.n_versions is 'How many versions there were when it changed; a deletion takes these away';
comment on column pynomaly.datasets.deleted is 'Whether the dataset is gone from this change on';
comment on column pynomaly.datasets.created_at is 'When it changed';
comment on column pynomaly.datasets.created_by is 'Who changed it';

create table pynomaly.dataset_versions (
    name varchar not null check (name <> ''),
    version integer not null check (version > 0),
    snapshot varchar not null,
    columns json not null,
    n_rows bigint not null,
    n_bytes bigint not null,
    n_quarantined bigint not null,
    source varchar not null,
    parent integer,
    created_at timestamptz not null default now(),
    created_by varchar not null,
    primary key (name, version)
);

comment on table pynomaly.dataset_versions is 'One immutable version of a dataset a row; the versions of a name count up';
comment on column pynomaly.dataset_versions.name is 'Name of the dataset';
comment on column pynomaly.dataset_versions.version is 'Number of the version under this name, from 1';
comment on column pynomaly.dataset_versions.snapshot is 'SHA-256 of the Parquet file with its rows, and the name of that file';
comment on column pynomaly.dataset_versions.columns is 'Names and types of its columns';
comment on column pynomaly.dataset_versions.n_rows is 'Rows of the version';
comment on column pynomaly.dataset_versions.n_bytes is 'Bytes of the file';
comment on column pynomaly.dataset_versions.n_quarantined is 'Rows of the source that could not be read, which pynomaly.quarantine keeps';
comment on column pynomaly.dataset_versions.source is 'Where the rows came from';
comment on column pynomaly.dataset_versions.parent is 'Version that this one followed; NULL for the first';
comment on column pynomaly.dataset_versions.created_at is 'When it was loaded';
comment on column pynomaly.dataset_versions.created_by is 'Who loaded it';

create table pynomaly.runs (
    id uuid primary key,
    kind varchar not null check (kind in ('detect', 'score')),
    sql varchar not null,
    source varchar not null,
    source_version integer,
    snapshot varchar,
    key varchar[] not null,
    options json not null,
    algorithm varchar not null,
    parameters json not null,
    seed bigint not null,
    model varchar,
    model_version integer,
    libraries json not null,
    n_rows bigint,
    n_flagged bigint,
    n_unscored bigint,
    threshold double,
    cut_off varchar,
    notes varchar[] not null,
    seconds double not null,
    rows_per_second double,
    peak_memory_bytes bigint,
    status varchar not null check (status in ('succeeded', 'failed', 'cancelled')),
    error_code varchar,
    error varchar,
    saved boolean not null,
    started_at timestamptz not null,
    created_by varchar not null
);

comment on table pynomaly.runs is 'One detection or scoring a row, failed ones included, written when it ends';
comment on column pynomaly.runs.id is 'Identifies the run';
comment on column pynomaly.runs.kind is 'detect for a detection, score for scoring with a trained model';
comment on column pynomaly.runs.sql is 'Statement that was run';
comment on column pynomaly.runs.source is 'What was read, as it was named';
comment on column pynomaly.runs.source_version is 'Version of the dataset that was read; NULL for a source without versions';
comment on column pynomaly.runs.snapshot is 'SHA-256 of the Parquet file that keeps the rows; NULL where the run has none';
comment on column pynomaly.runs.key is 'Columns that identify a row; empty where the number of the row in the snapshot does';
comment on column pynomaly.runs.options is 'Parameters that were given, with their values';
comment on column pynomaly.runs.algorithm is 'Algorithm that scored';
comment on column pynomaly.runs.parameters is 'Every parameter of the algorithm with its value, defaults included';
comment on column pynomaly.runs.seed is 'Seed of the sample and of the algorithm';
comment on column pynomaly.runs.model is 'Name of the model that scored, or was fitted and saved; NULL where it was not kept';
comment on column pynomaly.runs.model_version is 'Version of that model';
comment on column pynomaly.runs.libraries is 'Versions of Pynomaly, Python and the libraries that took part';
comment on column pynomaly.runs.n_rows is 'Rows of the source';
comment on column pynomaly.runs.n_flagged is 'Rows that were flagged';
comment on column pynomaly.runs.n_unscored is 'Rows that have no score';
comment on column pynomaly.runs.threshold is 'Score above which a row is flagged; NULL where there is not one for all rows';
comment on column pynomaly.runs.cut_off is 'How the threshold was chosen, in words';
comment on column pynomaly.runs.notes is 'What a person should know of the run';
comment on column pynomaly.runs.seconds is 'Wall seconds from the call to the result';
comment on column pynomaly.runs.rows_per_second is 'Rows of the source by wall seconds';
comment on column pynomaly.runs.peak_memory_bytes is 'How far the memory of the process rose; NULL where that cannot be told';
comment on column pynomaly.runs.status is 'succeeded, failed or cancelled';
comment on column pynomaly.runs.error_code is 'Code of the error that ended the run; NULL for none';
comment on column pynomaly.runs.error is 'What the error said';
comment on column pynomaly.runs.saved is 'Whether pynomaly.results was given the scored rows';
comment on column pynomaly.runs.started_at is 'When it was called';
comment on column pynomaly.runs.created_by is 'Who called it';

create table pynomaly.results (
    run_id uuid not null,
    key varchar not null using compression zstd, -- the default looks for patterns, longer than a forest takes to score
    anomaly_score double,
    is_anomaly boolean,
    reasons struct(feature varchar, "value" varchar, expected varchar, contribution double)[] not null
);

comment on table pynomaly.results is 'The scored rows of the saved runs, one after another';
comment on column pynomaly.results.run_id is 'Run that scored the row';
comment on column pynomaly.results.key is 'Value of the key as text, JSON for several columns, or the number of the row in the snapshot';
comment on column pynomaly.results.anomaly_score is 'Score, larger is more anomalous; NULL for no opinion';
comment on column pynomaly.results.is_anomaly is 'Whether the row was flagged';
comment on column pynomaly.results.reasons is 'What drove the score, where explain was asked for';

create table pynomaly.labels (
    run_id uuid not null references pynomaly.runs (id),
    key varchar not null,
    number integer not null check (number > 0),
    label varchar not null check (label in ('anomaly', 'normal')),
    note varchar,
    labelled_at timestamptz not null default now(),
    labelled_by varchar not null,
    primary key (run_id, key, number)
);

comment on table pynomaly.labels is 'What a person said of a row, one saying a row; the last one counts';
comment on column pynomaly.labels.run_id is 'Run that scored the row';
comment on column pynomaly.labels.key is 'Key of the row, as in pynomaly.results';
comment on column pynomaly.labels.number is 'Number of the saying about this row of this run, from 1';
comment on column pynomaly.labels.label is 'anomaly or normal';
comment on column pynomaly.labels.note is 'What the person added';
comment on column pynomaly.labels.labelled_at is 'When it was said';
comment on column pynomaly.labels.labelled_by is 'Who said it';

create table pynomaly.settings (
    name varchar not null check (name <> ''),
    number integer not null check (number > 0),
    value json not null,
    changed_at timestamptz not null default now(),
    changed_by varchar not null,
    primary key (name, number)
);

comment on table pynomaly.settings is 'One change of a setting a row; the last one of a name counts';
comment on column pynomaly.settings.name is 'What the setting is called';
comment on column pynomaly.settings.number is 'Number of the change under this name, from 1';
comment on column pynomaly.settings.value is 'Its value from now on';
comment on column pynomaly.settings.changed_at is 'When it changed';
comment on column pynomaly.settings.changed_by is 'Who changed it';

create table pynomaly.queries (
    id uuid primary key,
    sql varchar not null,
    objects varchar[] not null,
    seconds double not null,
    status varchar not null check (status in ('succeeded', 'failed', 'cancelled')),
    error_code varchar,
    error varchar,
    started_at timestamptz not null,
    created_by varchar not null
);

comment on table pynomaly.queries is 'The query log: one statement a row, where logging is on';
comment on column pynomaly.queries.id is 'Identifies the statement''s run';
comment on column pynomaly.queries.sql is 'Text of the statement';
comment on column pynomaly.queries.objects is 'Tables, files and models that it names';
comment on column pynomaly.queries.seconds is 'Wall seconds';
comment on column pynomaly.queries.status is 'succeeded, failed or cancelled';
comment on column pynomaly.queries.error_code is 'Code of the error that ended it; NULL for none';
comment on column pynomaly.queries.error is 'What the error said';
comment on column pynomaly.queries.started_at is 'When it was called';
comment on column pynomaly.queries.created_by is 'Who called it';
