-- Who said that the work is done, when it last became work again, which limit the order is under,
-- and what is told with a message.

alter table work_order add column completed_by text;
update work_order set completed_by = (
    select event.by_whom from work_order_event as event
    where event.work_order = work_order.id and event.to_status = 'completed'
    and event.from_status <> 'completed' order by event.version desc limit 1
);

alter table work_order add column reopened_at integer;
update work_order set reopened_at = (
    select max(event.at) from work_order_event as event
    where event.work_order = work_order.id and (
        event.change = 'reopened'
        or (event.from_status in ('completed', 'verified') and event.to_status in ('in_progress', 'approved', 'assigned'))
    )
);

alter table notification add column note text;
alter table notification add column respond_by integer;
alter table notification add column due_at integer;
create index notification_of_order on notification (work_order, at);
create index notification_of_alarm on notification (alarm, at);

-- The limit in milliseconds, and what was left of it when its clock stopped.
alter table work_order add column limit_ms integer;
alter table work_order add column due_left integer;
update work_order set limit_ms = max(0, due_at - coalesce((
    select max(event.at) from work_order_event as event
    where event.work_order = work_order.id and event.change = 'reopened'
), created_at)) where due_at is not null;
update work_order set due_left = due_at - coalesce((
    select max(event.at) from work_order_event as event
    where event.work_order = work_order.id and event.to_status = work_order.status
    and event.from_status <> event.to_status
), due_at), due_at = null
where due_at is not null and status not in ('approved', 'assigned', 'accepted', 'on_site', 'in_progress');

-- Whether a person may have made the move only because the site has no other account.
alter table work_order_event add column only_account integer not null default 0;
