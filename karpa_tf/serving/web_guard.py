"""What keeps other people's web pages away from a server on this machine, and tracebacks out of its answers.

A browser lets a page from elsewhere send requests to a local port, and read the answers if the page's host name points
at 127.0.0.1. So requests that name another host are refused while the server listens on loopback only, and everywhere
those whose Origin is another one.
"""

import asyncio
import contextlib
import ipaddress
import sys
import traceback
from urllib.parse import urlsplit

from aiohttp import web


def is_loopback(host):
    """Returns whether a host name or address is this machine's own."""
    name = host.strip("[]").lower().rstrip(".")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def same_site_only(listening):
    """Returns the middleware that refuses requests from the pages of other sites; `listening` is the server's host."""

    @web.middleware
    async def guard(request, handler):
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        try:
            is_own = not is_loopback(listening) or is_loopback(urlsplit(f"//{host}").hostname or "")
            is_same_site = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # an opening bracket without its other half
            is_own = is_same_site = False
        if not is_own:
            return error_response(403, f"This server answers to localhost and 127.0.0.1 only, not to {host!r:.100}.")
        if not is_same_site:
            return error_response(403, f"This server answers no pages of other sites, such as {origin!r:.100}.")
        return await handler(request)

    return guard


@web.middleware
async def errors_as_json(request, handler):
    """Answers refusals and defects as JSON; a traceback goes to standard error only."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return error_response(error.status, error.text)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return error_response(500, f"Internal error: {type(error).__name__}; the server's log says more.")


def error_response(status, message):
    """Returns the answer {"error": message}."""
    return web.json_response({"error": message}, status=status)
