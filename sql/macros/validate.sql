-- validate(source, rules := ...): a row for each rule that rows of a source break: how many, an example, and the predicate
-- that selects them.
-- set_rules(rule_set, rules): rules as rows for the table pynomaly.rules, the next version of the set under a name.
-- record_validation(source, rules := ...): a validation as a row for the table pynomaly.validations.
--
--   from validate('payments', rules := [{'kind': 'not_null', 'column': 'amount'}, {'kind': 'unique', 'column': 'payment_id'}]);
--   insert into pynomaly.rules by name from set_rules('payments', '[{"kind": "range", "column": "amount", "min": 0}]');
--   insert into pynomaly.validations by name from record_validation('payments');
--
-- Rules are structs, their JSON, or the name of a set; without them the newest set under the name of the source counts.

create or replace temp macro validate(source, rules := null) as table
    from query(_validation(source, rules, getvariable('pynomaly_user')));

create or replace temp macro set_rules(rule_set, rules) as table
    with given as materialized (
        select _rule_rows(rule_set, rules, getvariable('pynomaly_user')) as found
    )
    select
        rule_set as name,
        (
            select coalesce(max(kept.version), 0) + 1 from query(_catalog('rules', getvariable('pynomaly_user'))) as kept
            where kept.name = rule_set
        )::integer as version,
        generate_subscripts(found, 1)::integer as number,
        unnest(found, max_depth := 2),
        now() as created_at, _who(_actor()) as created_by
    from given;

create or replace temp macro record_validation(source, rules := null) as table
    with _pynomaly_checked as materialized (
        select list(finding) as findings, count(*) filter (finding.severity = 'error') as n_errors
        from query(_validation(source, rules, getvariable('pynomaly_user'))) as finding
    ),
    _pynomaly_counted as materialized (
        from query(_rows_of(source, getvariable('pynomaly_user')))
    ),
    meant as materialized (
        select _meant_rules(source, rules, getvariable('pynomaly_user')) as found
    )
    select
        uuid() as id, _address(source, getvariable('pynomaly_user')) as source, n_rows,
        n_errors = 0 as is_valid, found.rules::json as rules,
        found.name as rules_name, found.version::integer as rules_version, coalesce(findings, []) as findings,
        now() as created_at, _who(_actor()) as created_by
    from meant, _pynomaly_checked, _pynomaly_counted;
