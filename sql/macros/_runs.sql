-- What the macros of saved runs have in common: the results, the rows, these as the model sees them, and the model.

create or replace temp macro _run_results(run) as table
    select results.key, results.anomaly_score, results.is_anomaly, results.reasons
    from query(_catalog('results')) as results
    where results.run_id = _run_id(run)::uuid;

create or replace temp macro _run_rows(run) as table
    from query(_run_source(run));

create or replace temp macro _run_model_rows(run) as table
    from query(_run_select(run));

create or replace temp macro _run_fit(run) as table
    from _chosen_model(_run_model(run).name, _run_model(run).version, 0);
