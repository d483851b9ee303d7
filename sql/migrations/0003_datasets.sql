-- Datasets: the rows that could not be read, the versions that can be addressed, and what came from which version.

create table pynomaly.quarantine (
    name varchar not null,
    version integer not null,
    file varchar not null,
    line bigint not null check (line > 0),
    reason varchar not null,
    content varchar,
    primary key (name, version, file, line)
);

comment on table pynomaly.quarantine is 'One row of a file that could not be read and is missing in a version of a dataset';
comment on column pynomaly.quarantine.name is 'Name of the dataset';
comment on column pynomaly.quarantine.version is 'Version that misses the row';
comment on column pynomaly.quarantine.file is 'File that has the row';
comment on column pynomaly.quarantine.line is 'Line of the file on which the row begins, from 1';
comment on column pynomaly.quarantine.reason is 'Why it could not be read';
comment on column pynomaly.quarantine.content is 'The row as it stands in the file';

create view pynomaly.live_dataset_versions as
    select versions.*
    from pynomaly.dataset_versions as versions
    left join (
        select name, max(n_versions) as n_gone
        from pynomaly.datasets
        where deleted
        group by name
    ) as deletions on deletions.name = versions.name
    where versions.version > coalesce(deletions.n_gone, 0);

comment on view pynomaly.live_dataset_versions is 'The versions of the datasets that were not deleted since';
comment on column pynomaly.live_dataset_versions.name is 'Name of the dataset';
comment on column pynomaly.live_dataset_versions.version is 'Number of the version under this name';
comment on column pynomaly.live_dataset_versions.snapshot is 'SHA-256 of the Parquet file with its rows, and the name of that file';
comment on column pynomaly.live_dataset_versions.columns is 'Names and types of its columns';
comment on column pynomaly.live_dataset_versions.n_rows is 'Rows of the version';
comment on column pynomaly.live_dataset_versions.n_bytes is 'Bytes of the file';
comment on column pynomaly.live_dataset_versions.n_quarantined is 'Rows of the source that could not be read, which pynomaly.quarantine keeps';
comment on column pynomaly.live_dataset_versions.source is 'Where the rows came from';
comment on column pynomaly.live_dataset_versions.parent is 'Version that this one followed; NULL for the first';
comment on column pynomaly.live_dataset_versions.created_at is 'When it was loaded';
comment on column pynomaly.live_dataset_versions.created_by is 'Who loaded it';

-- What came from what. It is a view, so that it can never differ from the rows that it speaks of.
create view pynomaly.lineage as
    with versions as materialized (
        select name || '@' || version as address, * from pynomaly.dataset_versions
    )
    select
        coalesce('dataset:' || versions.address, 'source:' || models.source) as parent,
        'model:' || models.name || '@' || models.version as child, 'trained' as relation, models.created_at as at
    from pynomaly.models
    left join versions on versions.address = models.source
    where run_id is null
    union all
    select 'run:' || run_id, 'model:' || name || '@' || version, 'fitted', created_at
    from pynomaly.models
    where run_id is not null
    union all
    select 'rows:' || fingerprint, coalesce('run:' || run_id, 'model:' || name || '@' || version), 'sampled', created_at
    from pynomaly.models
    where fingerprint <> ''
    union all
    select distinct 'source:' || source, 'snapshot:' || snapshot, 'copied', min(started_at) over (partition by source, snapshot)
    from pynomaly.runs
    where snapshot is not null and source_version is null
    union all
    select
        case
            when source_version is not null then 'dataset:' || source
            else coalesce('snapshot:' || snapshot, 'source:' || source)
        end, 'run:' || id, 'read', started_at
    from pynomaly.runs
    union all
    select 'model:' || model || '@' || model_version, 'run:' || id, 'scored', started_at
    from pynomaly.runs
    where kind = 'score' and model is not null
    union all
    select 'run:' || id, 'results:' || id, 'saved', started_at
    from pynomaly.runs
    where saved
    union all
    select 'results:' || run_id, 'labels:' || run_id, 'labelled', min(labelled_at)
    from pynomaly.labels
    group by run_id
    union all
    select 'source:' || source, 'dataset:' || address, 'loaded', created_at
    from versions
    union all
    select 'dataset:' || name || '@' || parent, 'dataset:' || address, 'followed', created_at
    from versions
    where parent is not null;

comment on view pynomaly.lineage is 'What came from what, one step a row';
comment on column pynomaly.lineage.parent is 'Kind and name of the object that was there first';
comment on column pynomaly.lineage.child is 'Kind and name of the object that came from it';
comment on column pynomaly.lineage.relation is 'How it came: trained, fitted, sampled, copied, read, scored, saved, labelled, loaded or followed';
comment on column pynomaly.lineage.at is 'When';
