-- project(run, n := 2, keys := null, sample_rows := 262144): the rows of a saved run as points in few dimensions, for pictures.
--
--   select key, components[1] as x, components[2] as y, is_anomaly from project('4f6d3c1e-...');
--
-- `components` are coordinates along the n principal axes of the model's features (each divided by its standard deviation, a
-- gap at the mean), `variance_shares` the part of the features' variance along each axis, the same in every row. An axis points
-- to where its largest entry is positive. The axes are those of all rows, or of a sample of `sample_rows`; above 1,000 features
-- those of 1,000 rows. With `keys`, a list of texts, only these rows are placed, which is much faster for a few.

create or replace temp macro project(run, n := 2, keys := null, sample_rows := 262144) as table
    with chosen as materialized (
        from _run_fit(run)
    ),
    sampled as not materialized (
        select _pynomaly_row from _run_model_rows_sampled(run, sample_rows)
    ),
    projected as materialized (
        select _projection(any_value(_pynomaly_fit.model), list(_pynomaly_row), n) as axes from sampled, chosen
    ),
    matched as not materialized (
        select results.*, _pynomaly_row
        from _run_results_of(run, keys) as results
        left join _run_model_rows_of(run, keys) on results.key = _pynomaly_key
    )
    select
        matched.key, _components(projected.axes.handle, matched._pynomaly_row,
            _run_id(run, getvariable('pynomaly_user'))) as components,
        matched.anomaly_score, matched.is_anomaly, projected.axes.shares as variance_shares
    from matched, projected;
