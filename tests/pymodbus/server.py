#!/usr/bin/env python3
"""A Modbus server that nobody here wrote, with register patterns that the tests know.

Must never import anything of this project: its encoder is the independent witness.

Unit u answers, for 0 <= a < 1000:
    holding register a   (1000 * u + a) mod 65536
    input register a     (1000 * u + a + 32768) mod 65536
    coil a               true where (a + u) mod 3 = 0
    discrete input a     true where (a + u) mod 5 = 0
and from holding register 1000 on, encoded by pymodbus, high byte and high word first:
    1000 i16 -1234        1001 u16 54321      1002 i32 -12345678    1004 u32 3456789012
    1006 i64 -(2^62 + 7)  1010 u64 2^63 + 9   1014 f32 24.5         1016 f64 -0.1
    1020 string "值班-07", nine bytes of UTF-8 and one of padding
Anything beyond is answered with the exception "illegal data address", a unit that is not
there with an exception too, a silent one with nothing. Registers can be written.

It prints one line, "listening ADDRESS:PORT", and ends when its standard input closes, so
that it never outlives the test that started it.
"""

import argparse
import asyncio
import sys

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

PLAIN = 1000


def registers(unit, offset):
    """The plain pattern of one register table."""
    return SimData(
        0,
        values=[(1000 * unit + a + offset) & 0xFFFF for a in range(PLAIN)],
        datatype=DataType.REGISTERS,
    )


def bits(unit, divisor):
    """The pattern of a bit table."""
    return SimData(
        0,
        values=[(a + unit) % divisor == 0 for a in range(PLAIN)],
        datatype=DataType.BITS,
    )


def typed():
    """One value of each type, encoded by pymodbus."""
    return [
        SimData(1000, values=-1234, datatype=DataType.INT16),
        SimData(1001, values=54321, datatype=DataType.UINT16),
        SimData(1002, values=-12345678, datatype=DataType.INT32),
        SimData(1004, values=3456789012, datatype=DataType.UINT32),
        SimData(1006, values=-(2**62 + 7), datatype=DataType.INT64),
        SimData(1010, values=2**63 + 9, datatype=DataType.UINT64),
        SimData(1014, values=24.5, datatype=DataType.FLOAT32),
        SimData(1016, values=-0.1, datatype=DataType.FLOAT64),
        SimData(1020, values="值班-07", datatype=DataType.STRING),
    ]


def device(unit, action):
    """One unit with its four tables; the action runs before every answer."""
    return SimDevice(
        unit,
        simdata=(
            [bits(unit, 3)],
            [bits(unit, 5)],
            [registers(unit, 0), *typed()],
            [registers(unit, 0x8000)],
        ),
        action=action,
    )


def devices(args):
    """All units of the command line."""

    async def late(*_request):
        await asyncio.sleep(args.delay_ms / 1000)

    async def never(*_request):
        await asyncio.Event().wait()

    answering = late if args.delay_ms > 0 else None
    return [device(unit, answering) for unit in args.units] + [
        device(unit, never) for unit in args.silent
    ]


def unit_ids(text):
    """A comma-separated list of unit ids."""
    return [int(unit) for unit in text.split(",")]


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--units", type=unit_ids, default=[1], help="units that answer")
    parser.add_argument("--delay-ms", type=int, default=0, help="every answer is late by this")
    parser.add_argument("--silent", type=unit_ids, default=[], help="units that never answer")
    parser.add_argument("--framer", choices=["socket", "rtu"], default="socket")
    return parser.parse_args()


async def serve(args):
    """Serves until standard input closes."""
    server = ModbusTcpServer(
        devices(args),
        framer=FramerType(args.framer),
        address=("127.0.0.1", args.port),
    )
    await server.serve_forever(background=True)
    host, port = server.transport.sockets[0].getsockname()
    print(f"listening {host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(arguments()))
