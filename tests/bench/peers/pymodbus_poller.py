#!/usr/bin/env python3
"""The best natural poller with pymodbus: a task for each device, absolute deadlines, one
request for all registers, the values as text into a file.

Must never do less than the other pollers are asked for: every value of every read is written.
"""

import asyncio
import json
import sys

from pymodbus.client import AsyncModbusTcpClient

PERIOD = 1.0


async def poll(index, port, start, registers, out):
    """Reads one device for ever."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1)
    await client.connect()
    loop = asyncio.get_running_loop()
    due = start
    while True:
        answer = await client.read_holding_registers(0, count=registers, device_id=1)
        if not answer.isError():
            out.write(f"{index} {' '.join(map(str, answer.registers))}\n")
        due = max(due + PERIOD, loop.time())
        await asyncio.sleep(due - loop.time())


async def main(settings):
    """Spreads the devices over the period, as one would."""
    ports = settings["ports"]
    with open(settings["output"], "w", encoding="ascii", buffering=1) as out:
        start = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for index, port in enumerate(ports):
                tasks.create_task(poll(index, port, start, settings["registers"], out))
                await asyncio.sleep(PERIOD / len(ports))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        asyncio.run(main(json.load(file)))
