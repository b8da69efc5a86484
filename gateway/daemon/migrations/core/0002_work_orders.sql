-- Parts that repairs took, what is known of photos (they themselves are files beside core.db), and
-- how long the patience with an order lasts.

create table work_order_part (
    work_order integer not null references work_order (id),
    -- The order's version when it was written down.
    id integer not null,
    name text not null,
    sku text,
    -- In thousandths.
    quantity integer not null,
    unit text,
    by_whom text not null,
    at integer not null,
    primary key (work_order, id)
);

create table work_order_photo (
    work_order integer not null references work_order (id),
    -- The order's version when it came.
    id integer not null,
    file text not null,
    -- before or after
    stage text not null,
    format text not null,
    size integer not null,
    sha256 text not null,
    by_whom text not null,
    at integer not null,
    primary key (work_order, id)
);

-- When more people are told that nobody took it; null when they were, or need not be.
alter table work_order add column escalate_at integer;
update work_order set escalate_at = created_at + 600000
where status in ('approved', 'assigned') and not exists (
    select 1 from work_order_event as event
    where event.work_order = work_order.id and event.change = 'escalated'
);
