-- score_anomalies(source, model, ...): every row of a source with the score that a trained model gives it.
-- anomaly_score(model, row, ...): the score of one row, a struct with a field for each column that the model needs.
-- scored_row(model, row, ...): its score, flag and reasons. In these two a time may be a text (ISO 8601).
--
--   select * from score_anomalies('payments', 'fraud') where is_anomaly;
--   select anomaly_score('fraud', {'amount': 12.5, 'hour': 3});
--   select scored_row('fraud', {'amount': 12.5, 'hour': 3}, explain := 2);
--
-- Without a version the champion scores, or the newest version where none was promoted. Rows stream: nothing is fitted,
-- and every row counts as new.

create or replace temp macro score_anomalies(source, model, version := null, explain := 0) as table
    with chosen as materialized (
        from _chosen_model(model, version, explain)
    ),
    scored as not materialized (
        select input.*, _pynomaly_fit, _score(_pynomaly_fit.model, _pynomaly_row) as _pynomaly_score
        from query(_scored_source(source, model, version, getvariable('pynomaly_user'))) as input, chosen
    )
    select
        * exclude (
            _pynomaly_row, _pynomaly_group, _pynomaly_key, _pynomaly_label, _pynomaly_note, _pynomaly_guard, _pynomaly_fit,
            _pynomaly_score
        ),
        _pynomaly_score as anomaly_score,
        case
            when _pynomaly_score is null then null
            else coalesce(_pynomaly_score > _pynomaly_fit.threshold, false)
        end as is_anomaly,
        case
            when explain > 0 then _reasons(_pynomaly_fit.model, _pynomaly_row, _pynomaly_score)
            else []::struct(feature varchar, "value" varchar, expected varchar, contribution double)[]
        end as reasons
    from scored;

create or replace temp macro anomaly_score(model, "row", version := null) as (
    _row_score(model, version, "row", getvariable('pynomaly_cursor'), current_setting('threads'), getvariable('pynomaly_user'))
);

create or replace temp macro scored_row(model, "row", version := null, explain := 0) as (
    _scored_row(
        model, version, "row", explain, getvariable('pynomaly_cursor'), current_setting('threads'),
        getvariable('pynomaly_user')
    )
);
