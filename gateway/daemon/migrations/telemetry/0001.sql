-- telemetry.db, version 1: the journal of batches with its cursors, and the chunks made from it.
-- Losing this file loses charts, never an alarm or an order.

-- Numbers for points that stay the same over restarts; what a line for InfluxDB needs to know of them.
create table point (
    id integer primary key,
    key text not null unique,
    kind text not null,
    class text not null,
    location text
) strict;

-- One row a flush; `n` counts the samples in it, `t` is when it was written.
create table journal (
    seq integer primary key,
    t integer not null,
    n integer not null,
    body blob not null
) strict;

-- How far each reader of the journal has come; rows that all have passed are deleted.
create table cursor (
    sink text primary key,
    seq integer not null
) strict, without rowid;

-- One row for each time that memory was turned into chunks. A chunk without its segment does not count.
create table segment (
    t0 integer primary key,
    first integer not null,
    last integer not null
) strict;

-- The samples of one point in one segment. Time first in the key, so that writing appends.
create table chunk (
    t0 integer not null,
    point integer not null,
    n integer not null,
    first integer not null,
    last integer not null,
    vmin real,
    vmax real,
    vsum real,
    vlast real,
    body blob not null,
    primary key (t0, point)
) strict, without rowid;

-- Lines that InfluxDB refused for what they are.
create table quarantine (
    id integer primary key,
    t integer not null,
    line text not null,
    reason text not null
) strict;
