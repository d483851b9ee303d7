-- export_model(model, version): a model's row, to be copied to a file. import_model(file, ...): the row of such a file, for the
-- table pynomaly.models, as the next version of its name or of another one.
-- export_detector_sql(model, version): a statement that makes the model a macro of plain SQL.
--
--   copy (from export_model('fraud')) to 'fraud.parquet';
--   insert into pynomaly.models by name from import_model('fraud.parquet');

create or replace temp macro export_model(model, version := null) as table
    select stored.* replace (null::uuid as run_id)
    from _wanted_model(model, version) as wanted
    join query(_catalog('models', getvariable('pynomaly_user'))) as stored
        on stored.name = model and stored.version = wanted.number;

create or replace temp macro import_model(file, model := null) as table
    with given as materialized (
        from query(_model_file(file, getvariable('pynomaly_user')))
    )
    select
        given.* replace (
            _model_name(coalesce(model, given.name)) as name,
            (
                select coalesce(max(stored.version), 0) + 1
                from query(_catalog('models', getvariable('pynomaly_user'))) as stored
                where stored.name = coalesce(model, given.name)
            )::integer as version,
            _checked_model(given.state, given.digest) as digest,
            _who(_actor()) as created_by  -- whoever made the file, it is theirs who keep it
        )
    from given;

create or replace temp macro export_detector_sql(model, version := null, called := null) as (
    select _detector_sql(stored.state, stored.digest, coalesce(called, stored.name))
    from _wanted_model(model, version) as wanted
    left join query(_catalog('models', getvariable('pynomaly_user'))) as stored
        on stored.name = model and stored.version = wanted.number
);
