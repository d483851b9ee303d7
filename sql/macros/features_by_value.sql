-- Features of one value: each is an expression in a plain SELECT, and a step of a pipeline.
--
--   select amount, robust_zscore(amount) as z, log1p_signed(amount) as size from payments;
--   select amount, bin_quantile(amount, bins := 4) as quarter, frequency_encode(country) as share from payments;
--   select paid_at, rolling_mean(amount, paid_at, by := country, size := 3) as lately from payments;
--
-- What is fitted (robust_zscore, minmax, rank_normal, bin_quantile, frequency_encode) is fitted to the rows of the SELECT.
-- The macros that begin with an underline apply constants that are there already. A value that is no finite number counts
-- as NULL.

create or replace temp macro _finite(x) as case when isfinite(x::double) then x::double end;

create or replace temp macro log1p_signed(x) as sign(_finite(x)) * ln(1 + abs(_finite(x)));

create or replace temp macro ratio(a, b) as _finite(_finite(a) / nullif(_finite(b), 0));

create or replace temp macro interaction(a, b) as _finite(_finite(a) * _finite(b));

-- From 0 to buckets - 1; the same in every release.
create or replace temp macro hash_encode(x, buckets := 32) as (md5_number_lower(x::varchar) % buckets)::double;

create or replace temp macro _robust_zscore(x, center, spread) as
    case
        when spread > 0 then _finite(_finite(x) - center) / (1.4826 * spread)
        when _finite(x) is not null then 0.0
    end;

create or replace temp macro robust_zscore(x) as
    _robust_zscore(x, median(_finite(x)) over (), mad(_finite(x)) over ());

create or replace temp macro _minmax(x, low, high) as
    case
        when high > low then (_finite(x) - low) / (high - low)
        when _finite(x) is not null then 0.0
    end;

create or replace temp macro minmax(x) as _minmax(x, min(_finite(x)) over (), max(_finite(x)) over ());

-- The quantiles 0/128 to 128/128 stand for the distribution; a value that is several of them lies in their middle.
create or replace temp macro rank_normal(x) as
    _rank_normal(_finite(x), quantile_cont(_finite(x), list_transform(range(0, 129), lambda i: i / 128)) over ());

create or replace temp macro _bin_quantile(x, edges) as
    case when _finite(x) is not null then 1.0 + len(list_filter(edges, lambda edge: edge <= _finite(x))) end::double;

-- From 1 to bins.
create or replace temp macro bin_quantile(x, bins := 10) as
    _bin_quantile(x, quantile_cont(_finite(x), list_transform(range(1, bins), lambda i: i / bins)) over ());

-- Its share of the rows that have a value.
create or replace temp macro frequency_encode(x) as
    case when x is not null then count(x) over (partition by x::varchar) / count(x) over () end;

create or replace temp macro rolling_mean(x, order_by, "by" := null, size := 7) as
    avg(_finite(x)) over (partition by "by" order by order_by rows between size - 1 preceding and current row);

create or replace temp macro rolling_std(x, order_by, "by" := null, size := 7) as
    stddev_samp(_finite(x)) over (partition by "by" order by order_by rows between size - 1 preceding and current row);

create or replace temp macro rolling_min(x, order_by, "by" := null, size := 7) as
    min(_finite(x)) over (partition by "by" order by order_by rows between size - 1 preceding and current row);

create or replace temp macro rolling_max(x, order_by, "by" := null, size := 7) as
    max(_finite(x)) over (partition by "by" order by order_by rows between size - 1 preceding and current row);

create or replace temp macro rolling_quantile(x, order_by, "by" := null, size := 7, q := 0.5) as
    quantile_cont(_finite(x), q) over (partition by "by" order by order_by rows between size - 1 preceding and current row);

-- The change since the row before, as a share of that row's value.
create or replace temp macro pct_change(x, order_by, "by" := null, lag := 1) as
    _finite(
        _finite(x) / nullif(lag(_finite(x), lag) over (partition by "by" order by order_by), 0) - 1
    );
