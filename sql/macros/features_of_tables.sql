-- Features that are several columns: each macro keeps every column of the source and adds its own.
--
--   select amount, amount_lag_1 from lag_features('payments', 'amount', order_by := 'paid_at', by := 'country');
--   from calendar_features('payments', 'paid_at', parts := ['hour', 'is_weekend']);
--   from one_hot('payments', 'country', n_values := 3);
--
-- The columns must be those of a source that other connections see; without `values`, one_hot looks at the rows as well.

create or replace temp macro lag_features(source, columns, order_by := null, "by" := null, lags := [1]) as table
    from query(_featured(
        source, 'lag_features', columns, {'order_by': order_by, 'by': "by", 'lags': lags}, getvariable('pynomaly_user')
    ));

create or replace temp macro ewma(source, columns, order_by := null, "by" := null, alpha := 0.3) as table
    from query(_featured(
        source, 'ewma', columns, {'order_by': order_by, 'by': "by", 'alpha': alpha}, getvariable('pynomaly_user')
    ));

create or replace temp macro calendar_features(source, columns, parts := null) as table
    from query(_featured(source, 'calendar_features', columns, {'parts': parts}, getvariable('pynomaly_user')));

create or replace temp macro fourier_features(source, columns, period := 'day', harmonics := 1) as table
    from query(_featured(
        source, 'fourier_features', columns, {'period': period, 'harmonics': harmonics}, getvariable('pynomaly_user')
    ));

create or replace temp macro one_hot(source, columns, "values" := null, n_values := 10) as table
    from query(_featured(source, 'one_hot', columns, {'values': "values", 'n_values': n_values}, getvariable('pynomaly_user')));

create or replace temp macro text_length_features(source, columns) as table
    from query(_featured(source, 'text_length_features', columns, null, getvariable('pynomaly_user')));

create or replace temp macro tfidf_features(source, columns, buckets := 16) as table
    from query(_featured(source, 'tfidf_features', columns, {'buckets': buckets}, getvariable('pynomaly_user')));

create or replace temp macro group_aggregates(source, columns, "by" := null, aggregates := null) as table
    from query(_featured(
        source, 'group_aggregates', columns, {'by': "by", 'aggregates': aggregates}, getvariable('pynomaly_user')
    ));

create or replace temp macro feature_macros() as table
    select unnest(_feature_macros(null), recursive := true);
