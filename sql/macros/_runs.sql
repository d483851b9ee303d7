-- What the macros of saved runs have in common: the results, the rows, these as the model sees them, and the model.

create or replace temp macro _run_results(run) as table
    select results.key, results.anomaly_score, results.is_anomaly, results.reasons
    from query(_catalog('results', _run_id(run, getvariable('pynomaly_user')), getvariable('pynomaly_user'))) as results
    where results.run_id = _run_id(run, getvariable('pynomaly_user'))::uuid;

-- With what was last said of each row.
create or replace temp macro _said_results(run) as table
    with said as (
        select labels.key, arg_max(labels.label, labels.number) = 'anomaly' as label
        from query(_catalog('labels', _run_id(run, getvariable('pynomaly_user')), getvariable('pynomaly_user'))) as labels
        where labels.run_id = _run_id(run, getvariable('pynomaly_user'))::uuid
        group by labels.key
    )
    select results.anomaly_score, results.is_anomaly, said.label
    from _run_results(run) as results
    left join said on said.key = results.key;

create or replace temp macro _run_rows(run) as table
    from query(_run_source(run, getvariable('pynomaly_user')));

create or replace temp macro _run_model_rows(run) as table
    from query(_run_select(run, getvariable('pynomaly_user')));

create or replace temp macro _run_fit(run) as table
    from _chosen_model(
        _run_model(run, getvariable('pynomaly_user')).name, _run_model(run, getvariable('pynomaly_user')).version, 0
    );
