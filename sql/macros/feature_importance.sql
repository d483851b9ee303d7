-- feature_importance(model, ...): how much each feature drives the anomalies, a row each; of a model, or of a saved run by its id.
--
--   from feature_importance('fraud');
--   from feature_importance('fraud', version := 2, source := 'payments');
--
-- A feature's importance is the mean, over the rows that the model flags in `source`, of the feature's share of the sum of the
-- absolute contributions: the mean of the shares that explain_row tells. It is NULL where no row is flagged. `source` is by
-- default what the model was trained on, or the rows of the run.

create or replace temp macro _flagged_by_model(model, version, source) as table
    with chosen as materialized (
        from _chosen_model(model, version, 0)
    ),
    scored as not materialized (
        select _pynomaly_row, _score(_pynomaly_fit.model, _pynomaly_row) as score, _pynomaly_fit.threshold as threshold
        from query(_scored_source(source, model, version, getvariable('pynomaly_user'))), chosen
    ),
    flagged as not materialized (
        select _pynomaly_row from scored where score > threshold
    )
    select chosen._pynomaly_fit.model as handle, flagged._pynomaly_row from chosen left join flagged on true;

create or replace temp macro _flagged_by_run(run) as table
    with chosen as materialized (
        from _run_fit(run)
    ),
    wanted as materialized (
        select results.key from _run_results(run) as results where results.is_anomaly
    ),
    flagged as not materialized (
        select _pynomaly_row from _run_model_rows(run) where _pynomaly_key in (from wanted)
    )
    select chosen._pynomaly_fit.model as handle, flagged._pynomaly_row from chosen left join flagged on true;

create or replace temp macro feature_importance(model, version := null, source := null) as table
    with flagged as not materialized (
        from query(_flagged(model, version, source, getvariable('pynomaly_user')))
    ),
    shared as not materialized (
        select _model_columns(handle) as features, _shares(handle, _pynomaly_row) as shares from flagged
    ),
    by_feature as not materialized (
        select unnest(features) as feature, unnest(coalesce(shares, [null::double for _ in features])) as share from shared
    )
    select feature, favg(share) as importance, count(share) as n_rows
    from by_feature
    group by feature
    order by importance desc nulls last, feature;
