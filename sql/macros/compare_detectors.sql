-- compare_detectors(source, ...): several algorithms on the same rows, a row each: seconds, memory, rows flagged, and
-- with a label how well each ranks; an algorithm that fails is a row with its error.
--
--   from compare_detectors('payments', algorithms := ['iforest', 'knn', 'ecod']);
--   select algorithm, auroc from compare_detectors('payments', label := 'fraud') order by auroc desc;
--
-- Each algorithm is fitted to a sample of the source and scores that sample. Without `algorithms` all those that
-- need no other package take part.

create or replace temp macro compare_detectors(
    source, algorithms := null, label := null, features := null, exclude := null, key := null, contamination := null,
    threshold := null, sample_rows := 10000, seed := 0, parameters := null
) as table
    with input as not materialized (
        from query(_source(
            source, features, exclude, label, key, null,
            _comparison(algorithms, label, contamination, threshold, sample_rows, seed, parameters, features),
            getvariable('pynomaly_user')
        ))
    ),
    keys as not materialized (
        select count(distinct _pynomaly_key) as n_keys from input where key is not null
    ),
    total as materialized (
        select _checked_rows(count(*), false, (select n_keys from keys where key is not null)) as _pynomaly_rows from input
    ),
    sampled as not materialized (
        select _pynomaly_row, _pynomaly_label
        from (select *, row_number() over () as _pynomaly_number from input), total
        where hash(_pynomaly_number + seed) <= 18446744073709551615 * (sample_rows / greatest(_pynomaly_rows, sample_rows))
    ),
    compared as (
        select
            unnest(
                _compare(
                    list(_pynomaly_row), list(_pynomaly_label),
                    _comparison(algorithms, label, contamination, threshold, sample_rows, seed, parameters, features),
                    getvariable('pynomaly_run'), getvariable('pynomaly_cursor'), current_setting('threads')
                ),
                recursive := true
            )
        from sampled
    )
    from compared;
