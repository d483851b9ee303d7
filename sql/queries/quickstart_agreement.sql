-- How well the scores of `quickstart_scored` match its label `diagnosis`, which the detector did not see.
-- auroc: the share of (malignant, benign) pairs in which the malignant row scores higher; ties count half.

with ranked as (
    select
        diagnosis = 'malignant' as is_malignant,
        is_anomaly,
        rank() over (order by anomaly_score) + (count(*) over (partition by anomaly_score) - 1) / 2 as mean_rank,
        row_number() over (order by anomaly_score desc) as place
    from quickstart_scored
),
counted as (
    select
        count(*) filter (is_malignant) as n_malignant,
        count(*) filter (not is_malignant) as n_benign,
        count(*) filter (is_anomaly) as n_flagged,
        count(*) filter (is_anomaly and is_malignant) as n_flagged_malignant,
        count(*) filter (is_malignant and place <= 20) as n_malignant_in_top_20,
        sum(mean_rank) filter (is_malignant) as rank_sum
    from ranked
)
select
    n_malignant,
    n_benign,
    (rank_sum - n_malignant * (n_malignant + 1) / 2) / (n_malignant * n_benign) as auroc,
    n_flagged,
    n_flagged_malignant,
    n_malignant_in_top_20
from counted;
