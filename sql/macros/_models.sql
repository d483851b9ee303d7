-- What the macros of models have in common: the stages, the version that is meant, and the model itself.

create or replace temp macro _latest_stages(model) as table
    select changes.version as version, arg_max(changes.stage, changes.number) as stage, max(changes.number) as number
    from query(_catalog('model_stages', getvariable('pynomaly_user'))) as changes
    where changes.name = model
    group by changes.version;

create or replace temp macro _wanted_model(model, version) as table
    select
        _model_version(
            model, version,
            (
                select list(known.name)
                from query(_catalog('models', getvariable('pynomaly_user'))) as known
                where known.run_id is null
            ),
            (
                select list(known.version)
                from query(_catalog('models', getvariable('pynomaly_user'))) as known
                where known.name = model
            ),
            (select latest.version from _latest_stages(model) as latest where latest.stage = 'champion')
        ) as number;

create or replace temp macro _chosen_model(model, version, explain) as table
    select
        _load_model(
            stored.state, stored.digest, explain, getvariable('pynomaly_run'), getvariable('pynomaly_cursor'),
            current_setting('threads'), stored.pipeline, _model_pipeline(model, version, getvariable('pynomaly_user'))
        ) as _pynomaly_fit
    from _wanted_model(model, version) as wanted -- a plain join with a catalogue that is empty would be folded away, and the check with it
    left join query(_catalog('models', model, getvariable('pynomaly_user'))) as stored
        on stored.name = model and stored.version = wanted.number;
