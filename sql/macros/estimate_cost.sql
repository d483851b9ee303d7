-- estimate_cost(source, algorithm, ...): what a detection of this source would cost on this machine, without running it.
--
--   select seconds, peak_memory_bytes, basis from estimate_cost('payments', 'knn');
--
-- The source is read once. The algorithm is fitted to a few rows and then to more, for about a second in all, and what that
-- took is carried on to all rows as the algorithm grows; `basis` tells from where. `n_features` counts what the algorithm
-- sees: a category can be several. What the detection would refuse because of the number of rows is refused.

create or replace temp macro estimate_cost(
    source, algorithm := 'auto', combine := null, features := null, exclude := null, label := null, key := null,
    explain := 0, sample_rows := 262144, seed := 0, parameters := null
) as table
    with input as not materialized (
        from query(_source(
            source, features, exclude, label, key, null,
            _options(algorithm, combine, null, null, null, explain, sample_rows, seed, parameters, features, null),
            getvariable('pynomaly_user')
        ))
    ),
    total as materialized (
        select _checked_rows(count(*), false, null) as _pynomaly_rows, _clock(count(*)) as begun from input
    ),
    sampled as not materialized (
        select _pynomaly_row, _pynomaly_rows, begun
        from (select *, row_number() over () as _pynomaly_number from input), total
        where hash(_pynomaly_number + seed) <= 18446744073709551615 * (32768 / greatest(_pynomaly_rows, 32768))
    ),
    -- Kept as one value: taken apart at once, it would be computed for each of its fields.
    estimated as materialized (
        select
            _estimate(
                list(_pynomaly_row), any_value(_pynomaly_rows),
                _options(algorithm, combine, null, null, null, explain, sample_rows, seed, parameters, features, null),
                any_value(begun), getvariable('pynomaly_cursor'), current_setting('threads')
            ) as found
        from sampled
    )
    select unnest(found) from estimated;
