"""The load generator: what it counts, against an HTTP server in this process."""

import http.server
import threading

from benchmarks import load


def test_percentiles_are_of_the_nearest_rank():
    measured = load.Load(list(range(1, 101)), {}, 10)
    assert (measured.per_second, measured.percentile(0.5), measured.percentile(0.99)) == (10, 50, 99)


def test_answers_and_refusals_are_counted():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.path == "/good" else 404)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        good, bad = (load.measure_server("rest", address, path, b"x", 1, 0.1) for path in ("/good", "/bad"))
        server.shutdown()
    assert good.latencies == sorted(good.latencies) and good.latencies and not good.errors
    assert not bad.latencies and set(bad.errors) == {"HTTP 404: {}"}
