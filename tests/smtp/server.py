#!/usr/bin/env python3
"""A mail server that nobody here wrote. Must never import anything of this project.

A receiver whose name is three digits is answered with them: 550@example.com is refused for
good, 450@example.com for now, and 000@example.com is never answered. With --auth USER:PASSWORD
nobody sends without signing in. With --starttls or --implicit it is encrypted by the certificate
of --cert CERT KEY, and takes nothing in plain text.

It prints "listening ADDRESS:PORT", then each mail as a line of JSON, decoded by Python's own
mail parser. It ends when its standard input closes, so that it never outlives its test.
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        code = address.partition("@")[0]
        if code == "000":
            await asyncio.Event().wait()
        if len(code) == 3 and code.isdigit():
            return f"{code} as the address asks"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {
            "message_id": str(mail["Message-ID"]),
            "from": str(mail["From"]),
            "to": envelope.rcpt_tos,
            "subject": str(mail["Subject"]),
            "text": mail.get_content(),
            "signed_in": session.authenticated,
            "encrypted": server.transport.get_extra_info("cipher") is not None,
        }
        print(json.dumps(line), flush=True)
        return "250 OK"


def authenticator(expected):
    def check(server, session, envelope, mechanism, data):
        given = f"{data.login.decode()}:{data.password.decode()}"
        return AuthResult(success=given == expected, handled=False)

    return check


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--auth", metavar="USER:PASSWORD")
    arguments.add_argument("--cert", nargs=2, metavar=("CERT", "KEY"))
    encryption = arguments.add_mutually_exclusive_group()
    encryption.add_argument("--starttls", action="store_true")
    encryption.add_argument("--implicit", action="store_true")
    given = arguments.parse_args()
    auth = given.auth
    settings = {}
    context = None
    if given.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*given.cert)
    if given.starttls:
        settings = {"tls_context": context, "require_starttls": True}
    if auth:
        settings |= {
            "authenticator": authenticator(auth),
            "auth_required": True,
            # Encrypted from the first byte, it does not know that it is.
            "auth_require_tls": given.starttls,
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), enable_SMTPUTF8=True, **settings),
        "127.0.0.1",
        0,
        ssl=context if given.implicit else None,
    )
    host, port = server.sockets[0].getsockname()
    print(f"listening {host}:{port}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    # Connections that wait for ever must not keep it.
    os._exit(0)


asyncio.run(main())
