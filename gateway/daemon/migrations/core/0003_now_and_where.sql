-- What the machine says of a fault is kept apart from the alarm's own state, and where the fault is
-- is kept with it. A place is JSON: the text in both languages, when it was known, whether it was sure.

-- An alarm whose fault is gone is not active, whatever it waits for.
update alarm set active = 0 where latched = 1;

alter table alarm add column place text;
alter table alarm_event add column place text;
alter table work_order add column place text;
alter table work_order_event add column place text;

-- How the fault was when people were told: present, clearing, gone or unknown; null when no alarm is
-- behind it.
alter table notification add column signal text;
-- When the fault began, and when it was gone.
alter table notification add column raised_at integer;
alter table notification add column returned_at integer;
-- people, fire, gas, water, power or machine.
alter table notification add column danger text;
alter table notification add column place text;

-- What is sent first: ten times the priority, and what is in danger.
alter table outbox add column urgency integer not null default 42;
update outbox set urgency = 10 * (
    select n.priority from notification n where n.id = outbox.notification
) + 2;
drop index outbox_pending;
-- In the order of sending, so that a long backlog is never sorted.
create index outbox_pending on outbox (channel, life_safety desc, urgency, id, due_at)
    where status = 'pending';
