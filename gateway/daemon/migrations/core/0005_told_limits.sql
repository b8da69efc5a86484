-- What is told with a message: what is left of a limit whose clock stands on hold, in milliseconds,
-- and when the order became work again.

alter table notification add column due_left integer;
alter table notification add column reopened_at integer;
