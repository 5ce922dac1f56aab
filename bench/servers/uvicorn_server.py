"""uvicorn on uvloop and httptools, one process, no access log."""

import asyncio
import gc
import os
import socket
import sys

import httptools
import uvicorn
import uvloop

kind = sys.argv[1] if len(sys.argv) > 1 else 'hello'
text = b'x' * 16384 if kind == '16k' else b'Hello, World!'
plain = [(b'content-type', b'text/plain'), (b'content-length', str(len(text)).encode())]


async def fixed(scope, receive, send):
    await send({'type': 'http.response.start', 'status': 200, 'headers': plain})
    await send({'type': 'http.response.body', 'body': text})


async def echo(scope, receive, send):
    body = b''
    more = True
    while more:
        message = await receive()
        if message['type'] == 'http.disconnect':
            return
        body += message.get('body', b'')
        more = message.get('more_body', False)
    headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})


def on_input(server, loop):
    data = os.read(0, 256)
    if data.strip() == b'gc':
        gc.collect()
        print('GC', flush=True)
    elif not data:
        loop.remove_reader(0)
        server.should_exit = server.force_exit = True


async def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', 0))
    config = uvicorn.Config(
        echo if kind == 'echo' else fixed,
        loop='uvloop',
        http='httptools',
        lifespan='off',
        access_log=False,
        log_level='warning',
        backlog=4096,
        timeout_keep_alive=120,
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    loop.add_reader(0, on_input, server, loop)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    versions = f'uvicorn {uvicorn.__version__}, uvloop {uvloop.__version__}, httptools {httptools.__version__}'
    print(f'READY {listener.getsockname()[1]} {versions}, python {sys.version.split()[0]}', flush=True)
    await serving


uvloop.install()
asyncio.run(main())
