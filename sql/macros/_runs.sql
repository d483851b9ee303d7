-- What the macros of saved runs have in common: the model, the results, and the rows as the model sees them.

create or replace temp macro _model_of_run(run) as table
    from _chosen_model(_run_model(run).name, _run_model(run).version, 0);

create or replace temp macro _results_of_run(run) as table
    select stored.key, stored.anomaly_score, stored.is_anomaly
    from query(_catalog('results')) as stored
    where stored.run_id = _saved_run(run)::uuid;

create or replace temp macro _rows_of_run(run) as table
    from query(_run_select(run));
