-- define_pipeline(pipeline, steps): a pipeline as a row for the table pynomaly.pipelines, the next version of its name.
-- suggest_features(source, ...): the steps that suit the columns of a source, each with its reason.
--
--   insert into pynomaly.pipelines by name
--   from define_pipeline('card', ['log1p_signed(amount) as size', 'frequency_encode(country)', 'calendar_features(paid_at)']);
--   select * from detect_anomalies('payments', pipeline := 'card') where is_anomaly;
--
-- A step is a feature macro as SQL would call it, or a column that stays as it is. Several columns in a list are a step each.

create or replace temp macro define_pipeline(pipeline, steps) as table
    select
        _pipeline_name(pipeline) as name,
        (
            select coalesce(max(stored.version), 0) + 1
            from query(_catalog('pipelines', getvariable('pynomaly_user'))) as stored
            where stored.name = pipeline
        )::integer as version,
        _checked_steps(steps) as steps, now() as created_at, _who(_actor()) as created_by;

create or replace temp macro suggest_features(source, order_by := null, "by" := null) as table
    select unnest(_suggested(profiles, order_by, "by"), recursive := true)
    from query(_profiled(source, getvariable('pynomaly_user')));
