-- evaluate(source, label := ..., ...): how well scored rows agree with a label, one row: AUROC, average precision, and
-- precision, recall and F1 of the flags and of the k highest scores.
-- evaluation_curves(source, label := ..., ...): the same at every threshold, a row each, highest first.
--
--   from evaluate('scored_payments', label := 'fraud');
--   select false_positive_rate, recall from evaluation_curves('scored_payments', label := 'fraud');
--
-- The source has scored rows, or is the id of a saved run; without `label` a run is judged by what people said of its rows
-- (`_said_results`).
-- Rows without a label do not count, a row without a score ranks last, a NULL flag is none. Without `k` it is the number of
-- labelled anomalies. Where equal scores straddle place k, what is expected of them in random order counts.

-- A row for each score of a labelled row, the highest first, with what is at it and what is at it or above.
create or replace temp macro _ranked_labels(source, label, score, flag, k) as table
    with given as materialized (
        from query(_judged_rows(source, label, score, flag, k, getvariable('pynomaly_user')))
    ),
    rule as materialized (
        select
            count(*) as n_rows,
            count(_pynomaly_flag) > 0 as has_flags,
            _anomaly_label(
                source, count(*), any_value(_pynomaly_label_type), count(distinct _pynomaly_label),
                min(_pynomaly_label), max(_pynomaly_label), count(*) filter (_pynomaly_flag not in (0, 1)),
                getvariable('pynomaly_user')
            ) as anomalous
        from given
    ),
    counted as (
        select
            coalesce(nullif(_pynomaly_score, 'nan'), '-infinity') as at_score,
            count(*) as n,
            count(*) filter (_pynomaly_label = anomalous) as n_hits,
            count(*) filter (_pynomaly_flag = 1) as n_flagged,
            count(*) filter (_pynomaly_flag = 1 and _pynomaly_label = anomalous) as n_flagged_hits
        from given, rule
        where _pynomaly_label is not null
        group by at_score
    )
    select
        counted.*,
        n_rows,
        has_flags,
        sum(n) over highest_first as n_so_far,
        sum(n_hits) over highest_first as n_hits_so_far
    from counted, rule
    window highest_first as (order by at_score desc rows unbounded preceding);

create or replace temp macro evaluate(
    source, label := null, score := 'anomaly_score', flag := 'is_anomaly', k := null
) as table
    with ranked as materialized (
        from _ranked_labels(source, label, score, flag, k)
    ),
    total as (
        select
            any_value(n_rows) as n_rows,
            bool_and(has_flags) as has_flags,
            sum(n)::bigint as n_labelled,
            sum(n_hits)::bigint as n_anomalies,
            sum(n_flagged)::bigint as n_flagged,
            sum(n_flagged_hits)::bigint as n_flagged_hits,
            -- pairs of an anomaly and a normal row that the scores order rightly, those of equal scores half, doubled
            sum((n - n_hits) * (2 * n_hits_so_far - n_hits)) as doubled_pairs,
            sum(n_hits_so_far / n_so_far * n_hits order by at_score desc) filter (n_hits > 0) as summed_precision
        from ranked
    ),
    chosen as (
        select *, least(coalesce(k, n_anomalies), n_labelled)::bigint as n_first from total
    ),
    first_rows as (
        select
            coalesce(sum(n_hits) filter (n_so_far <= n_first), 0)
            + coalesce(max((n_first - (n_so_far - n)) * n_hits / n) filter (n_so_far - n < n_first and n_so_far > n_first), 0)
            as n_first_hits
        from ranked, chosen
    )
    select
        n_rows,
        n_labelled,
        n_anomalies,
        doubled_pairs / nullif(2.0::double * n_anomalies * (n_labelled - n_anomalies), 0) as auroc,
        summed_precision / n_anomalies as average_precision,
        case when has_flags then n_flagged_hits / nullif(n_flagged, 0) end as "precision",
        case when has_flags then n_flagged_hits / nullif(n_anomalies, 0) end as recall,
        case when has_flags then 2 * n_flagged_hits / nullif(n_flagged + n_anomalies, 0) end as f1,
        case when has_flags then n_flagged_hits end as true_positives,
        case when has_flags then n_flagged - n_flagged_hits end as false_positives,
        case when has_flags then n_anomalies - n_flagged_hits end as false_negatives,
        case when has_flags then n_labelled - n_flagged - n_anomalies + n_flagged_hits end as true_negatives,
        n_first as k,
        n_first_hits / nullif(n_first, 0) as precision_at_k,
        n_first_hits / nullif(n_anomalies, 0) as recall_at_k,
        2 * n_first_hits / nullif(n_first + n_anomalies, 0) as f1_at_k
    from chosen, first_rows;

-- A row is flagged by a threshold when its score is at least that. The first threshold flags nothing, with precision 1 by
-- convention.
create or replace temp macro evaluation_curves(source, label := null, score := 'anomaly_score') as table
    with ranked as materialized (
        from _ranked_labels(source, label, score, null, null)
    ),
    total as (
        select sum(n)::bigint as n_labelled, sum(n_hits)::bigint as n_anomalies from ranked
    ),
    thresholds as (
        select 1 as place, at_score as threshold, n_so_far::bigint as n_flagged, n_hits_so_far::bigint as n_flagged_hits
        from ranked
        union all
        select 0, 'infinity'::double, 0, 0
    )
    select
        threshold,
        case place when 0 then 1.0::double else n_flagged_hits / n_flagged end as "precision",
        n_flagged_hits / nullif(n_anomalies, 0) as recall,
        2 * n_flagged_hits / nullif(n_flagged + n_anomalies, 0) as f1,
        (n_flagged - n_flagged_hits) / nullif(n_labelled - n_anomalies, 0) as false_positive_rate,
        n_flagged_hits as true_positives,
        n_flagged - n_flagged_hits as false_positives,
        n_anomalies - n_flagged_hits as false_negatives,
        n_labelled - n_flagged - n_anomalies + n_flagged_hits as true_negatives
    from thresholds, total
    order by threshold desc, place;
