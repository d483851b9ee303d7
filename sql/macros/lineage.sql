-- lineage(object): all that an object came from ('back') and all that came from it ('forward'), one step a row; depth 1 is
-- next to the object.
--
--   from lineage('payments') order by direction, depth;
--   from lineage('model:fraud@2') where direction = 'back';
--
-- An object is a source, a model, a dataset or a version of one (fraud@2), a run by its id or the hash of a snapshot; what is
-- called like something else is told by its kind, as in 'source:fraud'. A ring of objects ends where it began.

create or replace temp macro lineage(object) as table
    with recursive steps as materialized (
        from query(_catalog('lineage', getvariable('pynomaly_user')))
    ),
    starts as materialized (
        select
            unnest(
                _known_objects(
                    object,
                    (
                        select list(distinct seen.name)
                        from (select parent as name from steps union all select child from steps) as seen
                        where list_contains(_object_names(object, getvariable('pynomaly_user')), seen.name)
                            or starts_with(seen.name, _versions_prefix(object))
                                and regexp_full_match(seen.name[len(_versions_prefix(object)) + 1:], '\d+')
                    ), getvariable('pynomaly_user')
                )
            ) as name
    ),
    reached(name, direction, depth) using key (name, direction) as (
        select starts.name, ways.direction, 0
        from starts, (values ('back'), ('forward')) as ways(direction)
        union
        select nearby.name, nearby.direction, min(nearby.depth)
        from (
            select steps.parent as name, reached.direction, reached.depth + 1 as depth
            from reached
            join steps on steps.child = reached.name
            where reached.direction = 'back'
            union all
            select steps.child, reached.direction, reached.depth + 1
            from reached
            join steps on steps.parent = reached.name
            where reached.direction = 'forward'
        ) as nearby
        where not exists (
            from recurring.reached as before where before.name = nearby.name and before.direction = nearby.direction
        )
        group by all
    )
    select reached.direction, reached.depth + 1 as depth, steps.parent, steps.child, steps.relation, steps.at
    from reached
    join steps on steps.child = reached.name
    where reached.direction = 'back'
    union all
    select reached.direction, reached.depth + 1, steps.parent, steps.child, steps.relation, steps.at
    from reached
    join steps on steps.parent = reached.name
    where reached.direction = 'forward';
