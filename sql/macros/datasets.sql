-- datasets(): the datasets of the database, one a row, with what their newest version holds.
-- dataset_versions(dataset): the versions of one, the newest first.
-- dataset_rows(dataset): the rows of a version, with their numbers from 1 in `_pynomaly_place`.
-- diff_versions(a, b, key := ...): what differs between two versions, a row a change.
--
--   from datasets();
--   select version, n_rows, created_at from dataset_versions('payments');
--   from diff_versions('payments@1', 'payments@2', key := 'id');
--
-- Any macro's source may be a version: 'payments@3', 'payments AS OF ''2026-11-01''', or 'payments' for the newest.

create or replace temp macro datasets() as table
    select
        versions.name, max(versions.version) as version, count(*) as n_versions,
        arg_max(versions.n_rows, versions.version) as n_rows,
        len(json_keys(arg_max(versions.columns, versions.version))) as n_columns,
        sum(versions.n_bytes)::bigint as n_bytes,
        arg_max(versions.n_quarantined, versions.version) as n_quarantined,
        arg_max(versions.source, versions.version) as source,
        max(versions.created_at) as loaded_at
    from query(_catalog('live_dataset_versions', getvariable('pynomaly_user'))) as versions
    group by versions.name
    order by versions.name;

create or replace temp macro dataset_versions(dataset) as table
    select versions.*
    from query(_catalog('live_dataset_versions', getvariable('pynomaly_user'))) as versions
    where versions.name = _dataset_name(dataset, getvariable('pynomaly_user'))
    order by versions.version desc;

create or replace temp macro dataset_rows(dataset) as table
    from query(_version_rows(dataset, getvariable('pynomaly_user')));

create or replace temp macro diff_versions(a, b, key := null) as table
    from query(_version_changes(a, b, key, getvariable('pynomaly_user')));
