-- vacuum_catalog(keep := ...): what a catalogue could do without: the results and models of saved runs that are older than
-- told, and the files that nothing needs. It only lists; engine.vacuum_catalog(remove=True) and the shell remove.
--
--   from vacuum_catalog(keep := '90 days');
--
-- Without `keep` the setting keep_results counts; with neither no run is too old. A run stays with all that it has where
-- somebody labelled a row of it, or where a run that stays scored with its model; a model stays that has a stage. A snapshot
-- stays while a run that has its results, a younger run or a version of a dataset refers to it. Bytes of results are those of
-- keys, scores and flags before compression.

create or replace temp macro vacuum_catalog(keep := null) as table
    with limits as materialized (
        select
            now() - _interval('keep', coalesce(keep::varchar, (
                select value->>'$' from settings() where name = 'keep_results'
            )), getvariable('pynomaly_user'))::interval as oldest
    ),
    stored as materialized (
        select results.run_id, count(*) as n_rows, (sum(strlen(results.key)) + 25 * count(*))::bigint as n_bytes
        from query(_catalog('results', getvariable('pynomaly_user'))) as results
        group by results.run_id
    ),
    old as materialized (
        select runs.id
        from query(_catalog('runs', getvariable('pynomaly_user'))) as runs, limits
        where runs.saved and runs.started_at < limits.oldest
            and runs.id not in (select labels.run_id from query(_catalog('labels', getvariable('pynomaly_user'))) as labels)
    ),
    models as materialized (
        select models.run_id, models.name, models.version, octet_length(models.state) as n_bytes
        from query(_catalog('models', getvariable('pynomaly_user'))) as models
        semi join old on models.run_id = old.id
    ),
    needed as materialized (
        select models.run_id
        from models
        join query(_catalog('runs', getvariable('pynomaly_user'))) as runs
            on runs.model = models.name and runs.model_version = models.version
        where runs.kind = 'score' and runs.id not in (from old)
    ),
    gone as materialized (
        select id from old where id not in (from needed)
    ),
    files as materialized (
        select unnest(_workspace_files(null, getvariable('pynomaly_user')), recursive := true)
    ),
    mentioned as (
        select
            runs.snapshot as hash, max(runs.started_at + to_microseconds((1e6 * runs.seconds)::bigint)) as ended_at,
            bool_or(
                runs.id not in (from gone)
                and (limits.oldest is null or runs.started_at >= limits.oldest or stored.run_id is not null)
            ) as is_live
        from query(_catalog('runs', getvariable('pynomaly_user'))) as runs
        left join stored on runs.id = stored.run_id, limits
        where runs.snapshot is not null
        group by runs.snapshot
    ),
    -- A file younger than a day may belong to a run that has not ended; one of a run that did end does not.
    idle as (
        select files.*
        from files
        left join mentioned on files.name = mentioned.hash || '.parquet'
        where not coalesce(mentioned.is_live, false)
            and to_timestamp(files.modified) < greatest(now() - to_days(1), mentioned.ended_at)
            and files.name not in (
                select versions.snapshot || '.parquet'
                from query(_catalog('live_dataset_versions', getvariable('pynomaly_user'))) as versions
            )
    )
    select
        'results' as kind, 'run:' || gone.id as object, stored.n_rows as "rows", stored.n_bytes as bytes,
        'older than what is kept' as why
    from gone
    join stored on stored.run_id = gone.id
    union all
    select 'model', 'model:' || name || '@' || version, 1, n_bytes, 'its run is older than what is kept'
    from models
    where run_id in (from gone)
        and (name, version) not in (
            select (stages.name, stages.version) from query(_catalog('model_stages', getvariable('pynomaly_user'))) as stages
        )
    union all
    select
        'snapshot', 'snapshot:' || name[:-9], null, n_bytes,
        'no run that is kept and no version of a dataset refers to it'
    from idle
    where name like '%.parquet' and not is_unfinished
    union all
    select 'unfinished', 'file:' || name, null, n_bytes, 'a process ended before it was written' from idle where is_unfinished;
