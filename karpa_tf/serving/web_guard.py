"""What keeps other people's web pages away from a server on this machine, and tracebacks out of its answers.

A page from elsewhere may send requests to a local port. It cannot read the answers, since none carries CORS headers, as
long as the browser knows that they come from elsewhere; a host name that its owner has made to point at 127.0.0.1 would
hide that. So requests that name another host are refused while the server listens on loopback only, and everywhere
those whose Origin is another one.
"""

import asyncio
import ipaddress
import sys
import traceback
from urllib.parse import urlsplit

from aiohttp import web


def is_loopback(host):
    """Returns whether a host name or address is this machine's own."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def same_site_only(listening):
    """Returns the middleware that refuses requests from the pages of other sites with status 403.

    Args:
        listening: host that the server listens at.
    """

    @web.middleware
    async def guard(request, handler):
        host = request.headers.get("Host", "")
        if is_loopback(listening) and not is_loopback(_split(f"//{host}").hostname or ""):
            return error_response(403, f"This server answers to localhost and 127.0.0.1 only, not to {host!r:.100}.")
        origin = request.headers.get("Origin")
        if origin is not None and _split(origin).netloc != host:
            return error_response(403, f"This server answers no pages of other sites, such as {origin!r:.100}.")
        return await handler(request)

    return guard


def _split(url):
    try:
        return urlsplit(url)
    except ValueError:  # an opening bracket without its other half
        return urlsplit("")


@web.middleware
async def errors_as_json(request, handler):
    """Answers refusals and defects as JSON; a traceback goes to standard error only."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(error.status, error.text)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return error_response(500, f"Internal error: {type(error).__name__}; the server's log says more.")


def error_response(status, message):
    """Returns the answer {"error": message}."""
    return web.json_response({"error": message}, status=status)
