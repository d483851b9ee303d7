-- Who is written down as having made something. Only a server sets these variables: pynomaly_actor for this, and pynomaly_user,
-- which each macro passes to the functions that look names up, for whose eyes see what is named; NULL sees everything.

create or replace temp macro _actor() as coalesce(getvariable('pynomaly_actor'), getvariable('pynomaly_user'));
