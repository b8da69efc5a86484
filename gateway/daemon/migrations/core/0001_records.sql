-- core.db: alarms, work orders, what must be told, what was received.
-- Flags are 0 or 1, times are milliseconds since 1970 in UTC. What alarms and orders point at is
-- named by code, never by a place in the configuration. Rows are never deleted because an asset
-- or a rule is no longer configured. For PostgreSQL `integer` becomes `bigint`, `blob` `bytea`.

create table work_order (
    -- day * 10 000 000 + count of the day, so that newer is larger.
    id integer primary key,
    no text not null,
    kind text not null,
    status text not null,
    priority integer not null,
    asset text not null,
    rule text,
    title_zh text not null,
    title_en text not null,
    fault_family text not null,
    -- The numbers of its alarms, oldest first, with spaces between.
    alarms text not null,
    occurrences integer not null,
    assignee text,
    reported_by text,
    close_policy text not null,
    created_at integer not null,
    due_at integer,
    recovered_at integer,
    closed_at integer,
    problem text,
    cause text,
    remedy text,
    labor_minutes integer,
    version integer not null
);
create unique index work_order_one_open on work_order (asset, fault_family)
    where kind = 'corrective' and fault_family <> ''
    and status not in ('closed', 'rejected', 'cancelled');
create index work_order_of_asset on work_order (asset, id);
create index work_order_of_status on work_order (status, id);

create table work_order_event (
    id integer primary key,
    work_order integer not null references work_order (id),
    version integer not null,
    at integer not null,
    recorded_at integer,
    by_whom text,
    change text not null,
    from_status text not null,
    to_status text not null,
    note text
);
create index work_order_event_of on work_order_event (work_order, id);

create table alarm (
    id integer primary key,
    asset text not null,
    rule text not null,
    title_zh text not null,
    title_en text not null,
    priority integer not null,
    active integer not null,
    latched integer not null,
    raised_at integer not null,
    -- One letter for the kind, a colon, the value.
    raised_value text,
    returned_at integer,
    acknowledged_at integer,
    acknowledged_by text,
    comment text,
    shelved_until integer,
    shelved_by text,
    suppressed_by text,
    out_of_service integer not null,
    -- The number as people read it.
    work_order text,
    -- Derived here, so that it can never disagree with the facts.
    state text not null generated always as (
        case
            when out_of_service = 1 then 'out_of_service'
            when suppressed_by is not null then 'suppressed'
            when shelved_until is not null then 'shelved'
            when active = 1 and acknowledged_at is null then 'unacknowledged'
            when active = 1 then 'acknowledged'
            when acknowledged_at is null then 'returned_unacknowledged'
            else 'normal'
        end
    ) stored
);
create unique index alarm_one_open on alarm (asset, rule) where state <> 'normal';
create index alarm_of_asset on alarm (asset, id);
create index alarm_of_state on alarm (state, id);

create table alarm_event (
    id integer primary key,
    alarm integer not null references alarm (id),
    at integer not null,
    by_whom text,
    change text not null,
    from_state text not null,
    to_state text not null,
    note text
);
create index alarm_event_of on alarm_event (alarm, id);
create index alarm_event_raised on alarm_event (at) where change = 'raised';

create table notification (
    id text primary key,
    reason text not null,
    -- The person it is for; null when it is for the whole crew.
    person text,
    priority integer not null,
    life_safety integer not null,
    asset text not null,
    rule text,
    alarm integer,
    work_order text,
    title_zh text not null,
    title_en text not null,
    at integer not null
);

create table outbox (
    id integer primary key,
    notification text not null references notification (id),
    channel text not null,
    life_safety integer not null,
    -- pending, sent or dead
    status text not null,
    attempts integer not null,
    created_at integer not null,
    due_at integer not null,
    unique (notification, channel)
);
-- In the order of sending, so that a long backlog is never sorted.
create index outbox_pending on outbox (channel, life_safety desc, id, due_at)
    where status = 'pending';

create table delivery (
    id integer primary key,
    outbox integer not null references outbox (id),
    attempt integer not null,
    at integer not null,
    took_ms integer not null,
    -- sent, failed (tried again later) or refused (given up)
    outcome text not null,
    error text
);
create index delivery_of on delivery (outbox, id);

-- Append-only: an index on a random key would write a page for each message.
create table inbox (
    id integer primary key,
    at integer not null,
    hash blob not null
);

create table dead_letter (
    id integer primary key,
    at integer not null,
    size integer not null,
    link text not null,
    topic text not null,
    reason text not null,
    payload blob not null
);

create table answer (
    key text primary key,
    at integer not null,
    request text not null,
    status integer not null,
    body blob not null
);
create index answer_at on answer (at);

create table account (
    name text primary key,
    display_name text not null,
    password text not null,
    created_at integer not null,
    disabled_at integer
);

-- Secrets of sessions, tokens and the set-up are kept as SHA-256 in hex.
create table session (
    hash text primary key,
    account text not null references account (name),
    created_at integer not null,
    seen_at integer not null
);
create index session_of on session (account);

create table token (
    name text primary key,
    hash text not null unique,
    created_at integer not null,
    last_used_at integer
);

create table setup (
    id integer primary key,
    hash text not null,
    created_at integer not null,
    tries integer not null
);

-- What a device said once and may not say again: the last value of each judged point that came
-- by a message we acknowledged, so that a delay that was running goes on after a restart.
create table point (
    key text primary key,
    -- One letter for the kind, a colon, the value.
    value text not null,
    at integer not null
);
