-- Whose eyes see what a query names, and who is written down as having made something. Only a server sets these variables:
-- without the first everything is seen, without the second it is that user, or else whoever runs the process.

create or replace temp macro _user() as getvariable('pynomaly_user');

create or replace temp macro _actor() as coalesce(getvariable('pynomaly_actor'), getvariable('pynomaly_user'));
