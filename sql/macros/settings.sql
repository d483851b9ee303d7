-- settings(): every setting of the database with its value. change_setting(setting, value): a change, as a row for the table
-- pynomaly.settings.
--
--   insert into pynomaly.settings by name from change_setting('keep_results', '90 days');

create or replace temp macro settings() as table
    with known as (
        select unnest(_settings(null), recursive := true)
    ),
    latest as (
        from query(_catalog('settings', getvariable('pynomaly_user'))) as changes
        qualify row_number() over (partition by changes.name order by changes.number desc) = 1
    )
    select
        known.name, coalesce(latest.value, known.default_value::json) as value, known.type,
        known.default_value::json as default_value, known.description, latest.changed_at, latest.changed_by
    from known
    left join latest using (name);

create or replace temp macro change_setting(setting, "value") as table
    with before as materialized (
        select coalesce(max(changes.number), 0) as number
        from query(_catalog('settings', getvariable('pynomaly_user'))) as changes
        where changes.name = setting
    )
    select
        setting as name, (before.number + 1)::integer as number,
        _setting_value(setting, "value"::varchar, getvariable('pynomaly_user'))::json as "value", now() as changed_at,
        _who(_actor()) as changed_by
    from before;
