-- algorithm_parameters(name): the parameters of one algorithm with type, range, default and description.
--
--   from algorithm_parameters('iforest');

create or replace temp macro algorithm_parameters(name) as table
    select unnest(_algorithm_parameters(name), recursive := true);
