-- threshold_rules(): the rules that estimate a threshold from the scores, one row each; `threshold` takes their names.
--
--   from threshold_rules();

create or replace temp macro threshold_rules() as table
    select unnest(_threshold_rules(null), recursive := true);
