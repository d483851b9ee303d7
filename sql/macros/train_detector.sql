-- train_detector(model, source, ...): a source's detector as a row for the table pynomaly.models.
--
--   insert into pynomaly.models by name from train_detector('fraud', 'payments', algorithm := 'iforest');
--
-- With `require_valid` a source with findings of severity error is refused: by the rules that are kept under its name, or by
-- others that are given as for validate(). A SELECT by itself trains and keeps nothing. The version is one above the highest
-- under the name.

create or replace temp macro train_detector(
    model, source, algorithm := 'auto', combine := null, features := null, exclude := null, label := null,
    contamination := null, threshold := null, sample_rows := 262144, seed := 0, parameters := null,
    require_valid := false, pipeline := null
) as table
    with _pynomaly_gate as materialized (
        from query(_gate(source, require_valid, getvariable('pynomaly_user')))
    ),
    _pynomaly_pipeline as materialized (
        from query(_kept_pipeline(source, pipeline, getvariable('pynomaly_user')))
    ),
    _pynomaly_piped as materialized (
        from query(_piped(source, pipeline, true, getvariable('pynomaly_user')))
    ),
    input as not materialized (
        from query(_source(
            source, features, exclude, label, null, null,
            _options(
                algorithm, combine, contamination, threshold, null, 0, sample_rows, seed, parameters, features, null
            ),
            pipeline, getvariable('pynomaly_user')
        ))
    ),
    total as materialized (
        select _checked_rows(count(*), false, null) as _pynomaly_rows from input
    ),
    sampled as not materialized (
        select _pynomaly_row, _pynomaly_label, _pynomaly_rows
        from (select *, row_number() over () as _pynomaly_number from input), total, _pynomaly_gate
        where hash(_pynomaly_number + seed) <= 18446744073709551615 * (sample_rows / greatest(_pynomaly_rows, sample_rows))
    ),
    -- Kept as one value: taken apart at once, it would be computed for each of its fields.
    trained as materialized (
        select
            _train(
                list(_pynomaly_row), list(_pynomaly_label), any_value(_pynomaly_rows),
                _options(
                    algorithm, combine, contamination, threshold, null, 0, sample_rows, seed, parameters, features, null
                ),
                getvariable('pynomaly_cursor'), current_setting('threads')
            ) as found
        from sampled
    ),
    fields as not materialized (
        select unnest(found) from trained
    )
    select
        _model_name(model) as name,
        (
            select coalesce(max(stored.version), 0) + 1
            from query(_catalog('models', getvariable('pynomaly_user'))) as stored
            where stored.name = model
        )::integer as version,
        _address(source, getvariable('pynomaly_user')) as source, fields.*,
        (select kept.pipeline from _pynomaly_pipeline as kept) as pipeline,
        now() as created_at, _who(_actor()) as created_by
    from fields;
