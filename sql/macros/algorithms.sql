-- algorithms(): every registered algorithm, one row each.
--
--   select name, family, summary from algorithms() where available;

create or replace temp macro algorithms() as table
    select unnest(_algorithms(null), recursive := true);
