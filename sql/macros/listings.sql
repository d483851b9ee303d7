-- runs(): every recorded run, one row each. models(): every model that was trained by name, with its stage, without its
-- state.
--
--   select id, source, algorithm, n_flagged, status from runs() order by started_at desc limit 20;
--   from models() where stage = 'champion';

create or replace temp macro runs() as table
    from query(_catalog('runs', getvariable('pynomaly_user')));

create or replace temp macro models() as table
    select
        stored.name, stored.version, coalesce(latest.stage, 'draft') as stage,
        stored.* exclude (name, version, state, run_id)
    from query(_catalog('models', getvariable('pynomaly_user'))) as stored
    left join (
        select changes.name, changes.version, arg_max(changes.stage, changes.number) as stage
        from query(_catalog('model_stages', getvariable('pynomaly_user'))) as changes
        group by all
    ) as latest using (name, version)
    where stored.run_id is null;

-- The left side of the join is always read, and the check with it.
create or replace temp macro _run(run) as table
    select recorded.*
    from (select _recorded_id(run, getvariable('pynomaly_user'))::uuid as id) as meant
    left join query(_catalog('runs', getvariable('pynomaly_user'))) as recorded on recorded.id = meant.id;
