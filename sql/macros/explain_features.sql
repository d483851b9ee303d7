-- explain_features(source, ...): which columns of a source are used, how each is encoded, which are left out and why.
--
--   select * from explain_features('payments', exclude := 'note');

create or replace temp macro explain_features(
    source, features := null, exclude := null, label := null, key := null, "by" := null, sample_rows := 262144, seed := 0
) as table
    with input as not materialized (
        from query(_source(
            source, features, exclude, label, key, "by",
            _options('auto', null, null, null, null, 0, sample_rows, seed, null, features, null), getvariable('pynomaly_user')
        ))
    ),
    total as materialized (
        select _checked_rows(count(*), true, null) as _pynomaly_rows from input
    ),
    sampled as not materialized (
        select _pynomaly_row, _pynomaly_note, _pynomaly_rows
        from (select *, row_number() over () as _pynomaly_number from input), total
        where hash(_pynomaly_number + seed) <= 18446744073709551615 * (sample_rows / greatest(_pynomaly_rows, sample_rows))
    ),
    described as (
        select unnest(_describe(list(_pynomaly_row), any_value(_pynomaly_note), any_value(_pynomaly_rows), features)) as item
        from sampled
    )
    select item."column" as column_name, item.used as used, item.encoding as encoding, item.why as why
    from described;
