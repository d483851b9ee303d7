-- detect_anomalies(source, ...): every row of a source with its anomaly_score, is_anomaly and reasons.
--
--   select * from detect_anomalies('payments') where is_anomaly order by anomaly_score desc;
--   select detect_anomalies('payments', algorithm := 'ecod');
--
-- Fit and score are two reads of the source. A branch whose parameter is NULL is folded away while the query
-- is planned, so `by`, `key` and `top_k` cost nothing when they are not given.

create or replace temp macro detect_anomalies(
    source, algorithm := 'auto', combine := null, features := null, exclude := null, label := null, key := null,
    "by" := null, contamination := null, threshold := null, top_k := null, explain := 0, sample_rows := 262144, seed := 0,
    parameters := null, pipeline := null
) as table
    with _pynomaly_piped as materialized (
        from query(_piped(source, pipeline, false, getvariable('pynomaly_user')))
    ),
    input as not materialized (
        from query(_source(
            source, features, exclude, label, key, "by",
            _options(algorithm, combine, contamination, threshold, top_k, explain, sample_rows, seed, parameters, features, "by"),
            pipeline, getvariable('pynomaly_user')
        ))
    ),
    keys as not materialized (
        select count(distinct _pynomaly_key) as n_keys from input where key is not null
    ),
    total as materialized (
        select _checked_rows(count(*), "by" is not null, (select n_keys from keys where key is not null)) as _pynomaly_rows
        from input
    ),
    numbered as not materialized (
        select *, row_number() over () as _pynomaly_number from input
    ),
    groups as not materialized (
        select _pynomaly_group, count(*) as _pynomaly_group_rows from input where "by" is not null group by all
    ),
    sampled as not materialized (
        select _pynomaly_group, _pynomaly_row, _pynomaly_note, _pynomaly_rows, _pynomaly_rows as _pynomaly_group_rows
        from numbered, total
        where "by" is null
            and hash(_pynomaly_number + seed) <= 18446744073709551615 * (sample_rows / greatest(_pynomaly_rows, sample_rows))
        union all
        select numbered._pynomaly_group, _pynomaly_row, _pynomaly_note, _pynomaly_rows, _pynomaly_group_rows
        from numbered
        join groups on numbered._pynomaly_group is not distinct from groups._pynomaly_group, total
        where "by" is not null
            and hash(_pynomaly_number + seed)
                <= 18446744073709551615 * least(1, greatest(sample_rows / _pynomaly_rows, 1024 / _pynomaly_group_rows))
    ),
    gathered as not materialized (
        select
            any_value(_pynomaly_group) as _pynomaly_group, list(_pynomaly_row) as row_list,
            any_value(_pynomaly_note) as note, any_value(_pynomaly_rows) as n_rows,
            any_value(_pynomaly_group_rows) as n_group
        from sampled
        having "by" is null
        union all
        select
            _pynomaly_group, list(_pynomaly_row), any_value(_pynomaly_note), any_value(_pynomaly_rows),
            any_value(_pynomaly_group_rows)
        from sampled
        where "by" is not null
        group by _pynomaly_group
    ),
    fitted as materialized (
        select
            _pynomaly_group,
            _fit(
                row_list, note, n_rows, n_group,
                _options(
                    algorithm, combine, contamination, threshold, top_k, explain, sample_rows, seed, parameters, features,
                    "by"
                ),
                getvariable('pynomaly_run'), getvariable('pynomaly_cursor'), current_setting('threads')
            ) as _pynomaly_fit
        from gathered
    ),
    -- Rows of a group come together, so that a chunk of rows has few models.
    matched as not materialized (
        select numbered.*, _pynomaly_fit
        from numbered
        left join fitted on numbered._pynomaly_group is not distinct from fitted._pynomaly_group
        where "by" is null
        union all
        from (
            select numbered.*, _pynomaly_fit
            from numbered
            left join fitted on numbered._pynomaly_group is not distinct from fitted._pynomaly_group
            where "by" is not null
            order by _pynomaly_fit.model
        )
    ),
    -- Rank and result must see the same row numbers: a source without a fixed order gives others each time.
    ranked as materialized (
        select *, _score(_pynomaly_fit.model, _pynomaly_row) as _pynomaly_score from matched where top_k is not null
    ),
    top as not materialized (
        select _pynomaly_number
        from ranked
        where _pynomaly_score is not null
        qualify row_number() over (
            partition by _pynomaly_group order by _pynomaly_score desc, _pynomaly_number
        ) <= top_k
    ),
    scored as not materialized (
        select
            * exclude (_pynomaly_number), _score(_pynomaly_fit.model, _pynomaly_row) as _pynomaly_score,
            null::boolean as _pynomaly_top
        from matched
        where top_k is null
        union all
        select ranked.* exclude (_pynomaly_number), top._pynomaly_number is not null as _pynomaly_top
        from ranked
        left join top on ranked._pynomaly_number = top._pynomaly_number
    )
    select
        * exclude (
            _pynomaly_row, _pynomaly_group, _pynomaly_key, _pynomaly_label, _pynomaly_note, _pynomaly_guard,
            _pynomaly_fit, _pynomaly_score, _pynomaly_top
        ),
        _pynomaly_score as anomaly_score,
        case
            when _pynomaly_score is null then null
            when top_k is null then coalesce(_pynomaly_score > _pynomaly_fit.threshold, false)
            else _pynomaly_top
        end as is_anomaly,
        case
            when explain > 0 then _reasons(_pynomaly_fit.model, _pynomaly_row, _pynomaly_score)
            else []::struct(feature varchar, "value" varchar, expected varchar, contribution double)[]
        end as reasons
    from scored;

create or replace temp macro detect_anomalies(
    source, algorithm := 'auto', combine := null, features := null, exclude := null, label := null, key := null,
    "by" := null, contamination := null, threshold := null, top_k := null, explain := 0, sample_rows := 262144, seed := 0,
    parameters := null, pipeline := null
) as (
    select list(scored)
    from detect_anomalies(
        source, algorithm := algorithm, combine := combine, features := features, exclude := exclude, label := label,
        key := key, "by" := "by", contamination := contamination, threshold := threshold, top_k := top_k, explain := explain,
        sample_rows := sample_rows, seed := seed, parameters := parameters, pipeline := pipeline
    ) as scored
);
