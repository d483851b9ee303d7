-- replay_run(run): a saved run once more, and whether every score, flag and reason is the same, bit for bit.
-- diff_runs(a, b): the rows that two saved runs judge differently, matched by their key.
--
--   from replay_run('3203b894-f4a5-4818-9ad8-8db28863931b');
--   from diff_runs('3203b894', '43e46029') where change = 'newly flagged';
--
-- A run is named by its id, or by the first eight digits or more of it. What runs again is detect_anomalies or score_anomalies.

create or replace temp macro replay_run(run) as table
    with again as materialized (
        from query(_replay(run, getvariable('pynomaly_user')))
    ),
    matched as (
        select
            saved.key as saved_key, saved.key is null as is_new, again.key is null as is_missing,
            saved.anomaly_score is distinct from again.anomaly_score as score_changed,
            saved.is_anomaly is distinct from again.is_anomaly as flag_changed,
            saved.reasons is distinct from again.reasons as reasons_changed,
            abs(saved.anomaly_score - again.anomaly_score) as change
        from _run_results(run) as saved
        full join again on saved.key = again.key
    )
    select
        _seen_run(run, count(saved_key), getvariable('pynomaly_user'))::uuid as run_id,
        not coalesce(bool_or(is_new or is_missing or score_changed or flag_changed or reasons_changed), false) as is_equal,
        count(*) as n_rows,
        count(*) filter (is_missing) as n_missing,
        count(*) filter (is_new) as n_new,
        count(*) filter (score_changed and not is_new and not is_missing) as n_scores_changed,
        count(*) filter (flag_changed and not is_new and not is_missing) as n_flags_changed,
        count(*) filter (reasons_changed and not is_new and not is_missing) as n_reasons_changed,
        max(change) as largest_change,
        _changed_libraries(run, getvariable('pynomaly_user')) as changed_libraries
    from matched;

create or replace temp macro diff_runs(a, b) as table
    with allowed as materialized (
        select
            _comparable(
                _seen_run(a, (select count(*) from (from _run_results(a) limit 1)), getvariable('pynomaly_user')),
                _seen_run(b, (select count(*) from (from _run_results(b) limit 1)), getvariable('pynomaly_user')), getvariable('pynomaly_user')
            ) as is_allowed
    ),
    matched as (
        select
            coalesce(before.key, after.key) as key,
            before.key is null as is_new, after.key is null as is_missing,
            before.anomaly_score as score_a, after.anomaly_score as score_b,
            before.is_anomaly as is_anomaly_a, after.is_anomaly as is_anomaly_b
        from _run_results(a) as before
        full join _run_results(b) as after on before.key = after.key
    )
    select
        key,
        case
            when is_new then 'only in b'
            when is_missing then 'only in a'
            when coalesce(is_anomaly_b, false) and not coalesce(is_anomaly_a, false) then 'newly flagged'
            when coalesce(is_anomaly_a, false) and not coalesce(is_anomaly_b, false) then 'no longer flagged'
            else 'score changed'
        end as change,
        score_a, score_b, score_b - score_a as score_change, is_anomaly_a, is_anomaly_b
    from allowed, matched
    where is_allowed and (is_new or is_missing or score_a is distinct from score_b or is_anomaly_a is distinct from is_anomaly_b);
