-- define_detector(detector, ...): a configuration of detect_anomalies under a name, as a row for the table pynomaly.detectors;
-- remove_detector(detector): the row that ends it. detectors(): those that there are.
--
--   insert into pynomaly.detectors by name from define_detector('strict', algorithm := 'iforest', contamination := 0.01);
--   insert into pynomaly.detectors by name from remove_detector('strict');
--
-- The parameters are those of detect_anomalies, checked as there; those that are not given keep their defaults there.

create or replace temp macro detectors() as table
    with latest as (
        from query(_catalog('detectors', getvariable('pynomaly_user'))) as known
        qualify row_number() over (partition by known.name order by known.version desc) = 1
    )
    select * exclude (deleted) from latest where not deleted;

create or replace temp macro _next_detector_version(detector) as table
    select (coalesce(max(known.version), 0) + 1)::integer as version
    from query(_catalog('detectors', getvariable('pynomaly_user'))) as known
    where known.name = detector;

create or replace temp macro define_detector(
    detector, algorithm := null, combine := null, features := null, exclude := null, label := null, key := null,
    "by" := null, contamination := null, threshold := null, top_k := null, explain := null, sample_rows := null,
    seed := null, parameters := null, pipeline := null
) as table
    select
        _detector_name(detector) as name, version,
        _detector_options(
            algorithm, combine, features, exclude, label, key, "by", contamination, threshold, top_k, explain, sample_rows,
            seed, parameters, pipeline
        )::json as options,
        false as deleted, now() as created_at, _who(_actor()) as created_by
    from _next_detector_version(detector);

-- The options of one detector; an error where there is none of that name.
create or replace temp macro _detector(detector) as table
    select
        _present_detector(detector, (select list(present.name) from detectors() as present)) as name,
        (select any_value(present.options) from detectors() as present where present.name = detector) as options;

create or replace temp macro remove_detector(detector) as table
    select
        ended.name, next.version, ended.options, true as deleted, now() as created_at,
        _who(_actor()) as created_by
    from _detector(detector) as ended, _next_detector_version(detector) as next;
