-- profile(source): a row for each column: how many values, which, how they are spread, and what is noteworthy.
--
--   select column_name, n_null, minimum, maximum, round(median, 2) as median from profile('payments');
--
-- n_distinct and every quantile, so the median and the MAD too, are approximate, as in SUMMARIZE, and which values are the top ones; all else is exact. Figures of
-- numbers are of the finite ones; those of booleans count 0 and 1. Values are shown up to 200 characters. Where a source cannot
-- be seen while a query is planned (a temporary or uncommitted table, a CTE), the counts of top_values, the histogram and
-- is_monotone are NULL.

create or replace temp macro profile(source) as table
    with measured as (
        from query(_profile(source, getvariable('pynomaly_user')))
    ),
    described as (
        select
            *,
            grid[51] as middle,
            list_sort(list_transform(
                top, lambda value, place: {'n': -top_counts[place::utinyint]::bigint, 'value': value}
            )) as found
        from measured
    ),
    counted as (
        select
            *,
            list_sum([item.n for item in found])::bigint as minus_found,
            [{'value': item.value, 'n': -item.n} for item in found if coalesce(item.n < -1, true)] as top_values
        from described
    )
    select
        column_name,
        type,
        n_rows,
        n_rows - n_known as n_null,
        case when n_known + minus_found = 0 then len(found) else least(n_distinct, n_known) end as n_distinct,
        minimum,
        maximum,
        mean,
        middle as median,
        list_median([abs(quantile - middle) for quantile in grid])::double as mad,
        case when grid is not null then struct_pack(
            p01 := grid[2], p05 := grid[6], p25 := grid[26], p50 := middle, p75 := grid[76], p95 := grid[96], p99 := grid[100]
        ) end as quantiles,
        skew,
        case when top_counts is null and n_distinct >= 0.9 * n_known then [] else coalesce(top_values, []) end as top_values,
        n_rows > 0 and n_known in (0, n_rows) and is_flat as is_constant,
        may_identify and n_rows > 1 and n_known = n_rows and n_distinct >= 0.9 * n_rows and len(top_values) = 0 as is_identifier,
        is_monotone,
        case when bins is not null then list_transform(
            range(case when low = high then 1 else 10 end),
            lambda place: {
                'low': low * (1 - place / 10) + high * (place / 10),
                'high': case when low = high then high else low * (1 - (place + 1) / 10) + high * ((place + 1) / 10) end,
                'n': coalesce(bins[place::utinyint], 0)
            }
        ) end as histogram
    from counted;
