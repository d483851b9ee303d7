-- suggest_rules(source): rules that the rows of a clean source keep, in the form that validate() takes.
--
--   from suggest_rules('payments');
--
-- What the rows show is proposed as it is: no NULL where there is none, unique where every value differs, the range, the few
-- values, the pattern and type of texts, growing and regular times. Ranges, times and counts are warnings, since tomorrow's
-- may be others. To keep them:
--
--   set variable rules = (select list(rule) from suggest_rules('payments') as rule);
--   insert into pynomaly.rules by name from set_rules('payments', getvariable('rules'));

-- A bound as JSON: a number where its type loses nothing as one, else the text.
create or replace temp macro _rule_bound(bound, type) as
    case
        when type = 'DOUBLE' and isfinite(bound::double) then to_json(bound::double)
        when contains(type, 'INT') and try_cast(bound as bigint) is not null then to_json(bound::bigint)
        else to_json(bound)
    end;

create or replace temp macro suggest_rules(source) as table
    with _pynomaly_exact as (
        from query(_exact(source, getvariable('pynomaly_user')))
    ),
    described as (
        select *, row_number() over () as place from profile(source)
    ),
    known as materialized (
        select
            described.*, exact.* exclude (column_name),
            n_rows - n_null as n_known,
            type in ('VARCHAR', 'BOOLEAN') or starts_with(type, 'ENUM') as has_names,
            mean is not null and type <> 'BOOLEAN' as has_numbers,
            coalesce(has_names and len(few_values) > 0 and n_known >= 5 * n_different, false) as is_set
        from described
        left join _pynomaly_exact as exact using (column_name)
    ),
    proposed as (
        select 1 as part, 'not_null' as kind, place, column_name, '{}'::json as parameters, 'error' as severity
        from known
        where n_rows > 0 and n_null = 0
        union all
        select 2, 'unique', place, column_name, '{}', 'error'
        from known
        where is_identifier and n_different = n_rows
        union all
        select 3, 'type', place, column_name, json_object('type', fits_type), 'error'
        from known
        where n_known > 0 and fits_type is not null
        union all
        select
            4, 'range', place, column_name,
            json_object('min', _rule_bound(minimum, type), 'max', _rule_bound(maximum, type)), 'warning'
        from known
        where has_numbers and not is_identifier
        union all
        select 5, 'set', place, column_name, json_object('values', few_values), 'error'
        from known
        where is_set
        union all
        select 6, 'pattern', place, column_name, json_object('pattern', pattern), 'error'
        from known
        where pattern is not null and fits_type is null and not is_set
        union all
        select 7, 'monotone', place, column_name, '{}', 'warning'
        from known
        where is_monotone and has_order and n_known > 2
        union all
        select 8, 'no_gaps', place, column_name, json_object('step', most_step::varchar), 'warning'
        from known
        where n_known > 2 and most_step <= 2 * least_step and minimum <> '-infinity' and maximum <> 'infinity'
        union all
        select 9, 'freshness', place, column_name, json_object('max_age', '7 days'), 'warning'
        from known
        where age between interval '0 days' and interval '6 days'
        union all
        select distinct
            10, 'row_count', 0, null,
            json_object('min', greatest(n_rows // 2, 1), 'max', 2 * n_rows), 'warning'
        from known
        where n_rows > 0
    )
    select kind, case when column_name is null then [] else [column_name] end as columns, parameters, severity
    from proposed
    order by part, place;
