-- promote_model(model, version, stage), retire_model(model, version), roll_back_model(model): changes of a model's stage,
-- as rows for the table pynomaly.model_stages.
--
--   insert into pynomaly.model_stages by name from promote_model('fraud', 3);
--
-- A champion that is replaced retires. Of two changes at once one is refused, and nothing of it is kept.

create or replace temp macro promote_model(model, version, stage := 'champion') as table
    with latest as materialized (
        from _latest_stages(model)
    ),
    changed as (
        select 1 as place, latest.version as version, 'retired' as stage
        from latest
        where stage = 'champion' and latest.stage = 'champion' and latest.version <> version
        union all
        select
            2, _model_version(
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
                ), null
            ), _model_stage(stage)
    )
    select
        model as name,
        ((select coalesce(max(latest.number), 0) from latest) + row_number() over (order by place))::integer as number,
        changed.version as version, changed.stage as stage, now() as changed_at,
        _who(_actor()) as changed_by
    from changed;

create or replace temp macro retire_model(model, version) as table
    from promote_model(model, version, stage := 'retired');

-- The champion before the present one, the present one retired.
create or replace temp macro roll_back_model(model) as table
    from promote_model(
        model,
        _former_champion(
            model,
            (
                select list(changes.version order by changes.number)
                from query(_catalog('model_stages', getvariable('pynomaly_user'))) as changes
                where changes.name = model and changes.stage = 'champion'
            )
        )
    );
