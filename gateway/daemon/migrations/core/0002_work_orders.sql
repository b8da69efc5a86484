-- Parts that repairs took, and what is known of photos; the photos themselves are files beside core.db.

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
