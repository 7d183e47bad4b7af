"""The clients in Python, as people write them: `mcp`, the official one, and `fastmcp`. Orders come in as lines of JSON, answers go out as
such: python_clients.py mcp|fastmcp."""

import asyncio
import json
import logging
import sys
import warnings
from contextlib import AsyncExitStack

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

MODES = {"modern": "2026-07-28", "legacy": "legacy", "auto": "auto"}


async def official(stack, url, token, era):
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    http = await stack.enter_async_context(create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}))
    return await stack.enter_async_context(Client(streamable_http_client(url, http_client=http), mode=MODES[era]))


async def fast(stack, url, token, era):
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    return await stack.enter_async_context(Client(StreamableHttpTransport(url, auth=token), mode=MODES[era]))


def told(error):
    """What a user of the client learns of a failure."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    of = getattr(error, "error", None)
    return {"text": str(error), "code": getattr(of, "code", None), "data": getattr(of, "data", None)}


async def carry_out(connect, client, order, given):
    if order == "tools":
        tools = await client.list_tools()
        return [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in getattr(tools, "tools", tools)]
    options = {"raise_on_error": False} if connect is fast else {}
    result = await client.call_tool(given["name"], given["arguments"], **options)
    return {"text": result.content[0].text, "isError": bool(result.is_error), "structured": result.structured_content}


async def live(connect, given, orders):
    """A connection, in a task of its own as it must be closed where it was opened."""
    _, _, answer = await orders.get()
    try:
        async with AsyncExitStack() as stack:
            client = await connect(stack, **given)
            version = getattr(client, "protocol_version", None) or client.session.protocol_version
            answer.set_result({"done": {"version": version, "instructions": getattr(client, "instructions", None)}})
            while True:
                order, given, answer = await orders.get()
                if order == "close":
                    break
                try:
                    answer.set_result({"done": await carry_out(connect, client, order, given)})
                except Exception as error:
                    answer.set_result({"failed": told(error)})
        answer.set_result({"done": True})
    except BaseException as error:
        if not answer.done():
            answer.set_result({"failed": told(error)})


async def main():
    connect = {"mcp": official, "fastmcp": fast}[sys.argv[1]]
    connections, tasks = {}, []
    lines = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        given = json.loads(line)
        order, connection = given.pop("order"), given.pop("connection")
        if order == "connect":
            connections[connection] = asyncio.Queue()
            tasks.append(asyncio.create_task(live(connect, given, connections[connection])))
        answer = loop.create_future()
        await connections[connection].put((order, given, answer))
        print(json.dumps(await answer), flush=True)
    for task in tasks:
        task.cancel()


asyncio.run(main())
