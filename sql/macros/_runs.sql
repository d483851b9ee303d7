-- What the macros of saved runs have in common: the results, the rows, these as the model sees them, and the model.

create or replace temp macro _run_results(run) as table
    from query(_saved_results(run, null, getvariable('pynomaly_user')));

-- Those of some keys.
create or replace temp macro _run_results_of(run, keys) as table
    from query(_saved_results(run, keys, getvariable('pynomaly_user')));

-- With what was last said of each row.
create or replace temp macro _said_results(run) as table
    with said as (
        select labels.key, arg_max(labels.label, labels.number) = 'anomaly' as label
        from query(_said_labels(run, getvariable('pynomaly_user'))) as labels
        group by labels.key
    )
    select results.anomaly_score, results.is_anomaly, said.label
    from _run_results(run) as results
    left join said on said.key = results.key;

create or replace temp macro _run_rows(run) as table
    from query(_run_source(run, null, null, getvariable('pynomaly_user')));

create or replace temp macro _run_rows_of(run, keys) as table
    from query(_run_source(run, keys, null, getvariable('pynomaly_user')));

-- About so many of them, the same ones whenever they are asked for; all where the number is NULL.
create or replace temp macro _run_rows_sampled(run, n_rows) as table
    from query(_run_source(run, null, n_rows, getvariable('pynomaly_user')));

create or replace temp macro _run_model_rows(run) as table
    from query(_run_select(run, null, null, getvariable('pynomaly_user')));

create or replace temp macro _run_model_rows_of(run, keys) as table
    from query(_run_select(run, keys, null, getvariable('pynomaly_user')));

create or replace temp macro _run_model_rows_sampled(run, n_rows) as table
    from query(_run_select(run, null, n_rows, getvariable('pynomaly_user')));

-- Named in a text of _chosen_model, so that the run is looked up once.
create or replace temp macro _run_fit(run) as table
    from query(_run_model(run, getvariable('pynomaly_user')));
