-- score_histogram(run, bins := 50): how the scores of a saved run are spread: a row for each of so many equal parts of their
-- range, with how many rows lie in it and how many of these are flagged.
--
--   from score_histogram('4f6d3c1e-...', bins := 20);
--
-- Rows without a score lie in no part; where all scores are equal there is one part.

create or replace temp macro score_histogram(run, bins := 50) as table
    with scored as materialized (
        select anomaly_score as score, is_anomaly from _run_results(run) where anomaly_score is not null
    ),
    -- halved, since the range of doubles is wider than a double
    limits as materialized (
        select min(score) / 2 as low, max(score) / 2 as high, case when max(score) > min(score) then bins else 1 end as n_bins
        from scored
    ),
    counted as (
        select
            least(floor((score / 2 - low) / (high - low) * n_bins), n_bins - 1)::bigint as place,
            count(*) as n_rows, count(*) filter (is_anomaly) as n_flagged
        from scored, limits
        group by place
    )
    select
        places.place as bin,
        2 * (low * (1 - places.place / n_bins) + high * (places.place / n_bins)) as low,
        2 * (low * (1 - (places.place + 1) / n_bins) + high * ((places.place + 1) / n_bins)) as high,
        coalesce(counted.n_rows, 0) as n_rows, coalesce(counted.n_flagged, 0) as n_flagged
    from limits, range(n_bins) as places(place)
    left join counted on coalesce(counted.place, 0) = places.place
    where limits.low is not null
    order by bin;
