-- label_row(run, key, label, ...): what a person says of a row of a saved run, as a row for the table pynomaly.labels.
-- labels_of(run): the last saying about each row of a run.
--
--   insert into pynomaly.labels by name from label_row('7f8c12ab', '17', 'normal', note := 'a refund');
--
-- Nothing that was said is changed: another saying about a row is another row. Of two at once about one row one is refused.

create or replace temp macro label_row(run, key, label, note := null) as table
    with scored as materialized (
        select count(*) as n_rows, count(*) filter (where results.key = key::varchar) as n_named
        from query(_catalog('results', _run_id(run, getvariable('pynomaly_user')), getvariable('pynomaly_user'))) as results
        where results.run_id = _run_id(run, getvariable('pynomaly_user'))::uuid
    ),
    before as materialized (
        select coalesce(max(said.number), 0) as number
        from query(_catalog('labels', _run_id(run, getvariable('pynomaly_user')), getvariable('pynomaly_user'))) as said
        where said.run_id = _run_id(run, getvariable('pynomaly_user'))::uuid and said.key = key::varchar
    )
    select
        _run_id(run, getvariable('pynomaly_user'))::uuid as run_id,
        _labelled_key(_seen_run(run, scored.n_rows, getvariable('pynomaly_user')), key::varchar, scored.n_named) as key,
        (before.number + 1)::integer as number, _label(label) as label, note::varchar as note, now() as labelled_at,
        _who(_actor()) as labelled_by
    from scored, before;

create or replace temp macro labels_of(run) as table
    select said.key, said.label, said.note, said.number, said.labelled_at, said.labelled_by
    from query(_said_labels(run, getvariable('pynomaly_user'))) as said
    qualify row_number() over (partition by said.key order by said.number desc) = 1;
