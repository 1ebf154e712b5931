#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# http-images.py PORT-FILE [CERTIFICATE] - serves the files of the current directory on loopback, and under other
# paths the mistakes that servers make. Writes its port to a file once it listens.
import http.server
import os
import ssl
import sys

DATA = open("image.raw", "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body, headers=(), length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, to):
        self.reply(302, b"<html>moved</html>", [("Location", to)])

    def chunked(self, whole):
        self.reply(200, b"", [("Transfer-Encoding", "chunked")], length=False)
        for at in range(0, len(DATA), 100000):
            part = DATA[at:at + 100000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if not whole and at > 3000000:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        path = self.path
        if path == "/image.raw":
            self.reply(200, DATA)
        elif path == "/chunked":
            self.chunked(True)
        elif path == "/chunked-cut":
            self.chunked(False)
        elif path == "/cut":
            self.reply(200, DATA[:3000000], length=len(DATA))
            self.close_connection = True
        elif path == "/cut-early":
            self.reply(200, DATA[:100], length=len(DATA))
            self.close_connection = True
        elif path in ("/unsaid", "/unsaid-cut"):
            self.protocol_version = "HTTP/1.0"
            self.reply(200, DATA if path == "/unsaid" else DATA[:3000000],
                       [("Connection", "close")], length=False)
            self.close_connection = True
        elif path == "/moved":
            self.redirect("/image.raw")
        elif path == "/loop":
            self.redirect("/loop")
        elif path == "/elsewhere":
            self.redirect("file://" + os.path.abspath("image.raw"))
        elif path == "/lost":
            self.redirect("/nowhere")
        elif path.startswith("/to/"):   # /to/PORT: the same server without TLS
            self.redirect("http://127.0.0.1:%s/image.raw" % path[4:])
        elif path == "/part":
            self.reply(206, DATA[:1000], [("Content-Range", "bytes 0-999/%d" % len(DATA))])
        elif path == "/empty":
            self.reply(204, b"")
        elif path == "/broken":
            self.reply(500, b"<html>sorry</html>")
        elif path == "/qcow2":
            self.reply(200, b"QFI\xfb" + DATA)
        elif path == "/stalls":
            self.reply(200, DATA[:5000000], length=len(DATA))
            self.wfile.flush()
            self.rfile.read(1)   # until the client has gone
        else:
            self.reply(404, b"<html>" + b"no such page " * 100000 + b"</html>")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass   # clients that go away are part of the test


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
