-- explain_row(run, key): what each feature of the model contributes to the score of one row of a saved run, a row each.
-- nearest_normal(run, key, k := 5, sample_rows := null): the rows of the run that were not flagged and lie nearest to that row.
--
--   from explain_row('4f6d3c1e-...', 17);
--   select key, distance, differences[1].feature from nearest_normal('4f6d3c1e-...', 17);
--
-- The distance is Euclidean, over the model's features, each divided by its standard deviation among the rows that were not
-- flagged; a gap lies at their mean. Rows stream, but for a sample that tells these deviations. With `sample_rows` the nearest
-- are looked for among about so many rows of the run alone, always the same: for pages, which shall not wait.

create or replace temp macro explain_row(run, key) as table
    with chosen as materialized (
        from _run_fit(run)
    ),
    saved as not materialized (
        select results.anomaly_score from _run_results(run) as results
        where results.key = _run_key(run, key::varchar, getvariable('pynomaly_user'))
    ),
    given as not materialized (
        select _pynomaly_row from _run_model_rows_of(run, [key::varchar])
    ),
    explained as materialized (
        select _explanation(_pynomaly_fit.model, _pynomaly_row, saved.anomaly_score,
            _run_id(run, getvariable('pynomaly_user'))) as reasons
        from saved
        left join given on true, chosen
    )
    select unnest(reasons, recursive := true) from explained;

create or replace temp macro nearest_normal(run, key, k := 5, sample_rows := null) as table
    with chosen as materialized (
        from _run_fit(run)
    ),
    given as materialized (
        select _pynomaly_row
        from (select _run_key(run, key::varchar, getvariable('pynomaly_user')) as wanted)
        left join _run_model_rows_of(run, [key::varchar]) on _pynomaly_key = wanted
    ),
    others as materialized (
        select results.key from _run_results(run) as results where results.is_anomaly is distinct from false
    ),
    normal as not materialized (
        select _pynomaly_key, _pynomaly_row
        from _run_model_rows_sampled(run, sample_rows)
        where _pynomaly_key not in (from others)
    ),
    sampled as not materialized (
        select _pynomaly_row
        from _run_model_rows_sampled(run, least(sample_rows, 65536))
        where _pynomaly_key not in (from others)
    ),
    made as materialized (
        select
            _nearness(
                (select _pynomaly_fit.model from chosen), (select list(_pynomaly_row) from sampled),
                (select any_value(_pynomaly_row) from given), _run_id(run, getvariable('pynomaly_user'))
            ) as nearness
    ),
    nearest as materialized (
        select _pynomaly_key, _pynomaly_row, nearness, _distance(nearness, _pynomaly_row) as distance
        from normal, made
        where _pynomaly_key <> _run_key(run, key::varchar, getvariable('pynomaly_user'))
        order by distance, _pynomaly_key
        limit _nearest_number(k)
    )
    select
        results.key, nearest.distance, results.anomaly_score,
        _differences(nearest.nearness, nearest._pynomaly_row) as differences
    from nearest
    join _run_results(run) as results on results.key = nearest._pynomaly_key
    order by nearest.distance, results.key;
