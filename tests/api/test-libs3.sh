#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-libs3.sh - the module store_libs3.so: it shows one symbol, takes none from the program, is found
# where it was installed, and its absence is said clearly. liblsvd.so has nothing of libs3 in it.
set -euo pipefail
. "$(dirname "$0")/installed.sh"
here=$(cd "$(dirname "$0")" && pwd)
module=$libdir/lsvd/store_libs3.so
fail() {
	echo "$*"
	exit 1
}

! nm -D "$libdir/liblsvd.so" | grep -E ' S3_|urlEncode' || fail "liblsvd.so knows libs3"
! readelf -d "$libdir/liblsvd.so" | grep -F '[libs3.' || fail "liblsvd.so is linked with libs3"
if [[ ! -e $module ]]; then
	[[ ! -e $build/lsvd/store_libs3.so ]] || fail "the module was not installed"
	echo "libs3 is not here: libs3-dev"
	exit 77
fi
[[ $(nm -D --defined-only "$module" | awk '{ print $3 }') = lsvd_s3_client ]] ||
	fail "the module shows: $(nm -D --defined-only "$module")"
! readelf -d "$module" | grep -E '\[(libs3|liblsvd)\.' || fail "it is linked with libs3.so or liblsvd.so"

# Every function with a name outside of C that libs3.a has is a trap in the program, or not called.
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret
${CC:-cc} -Wall -Wextra -Werror -rdynamic "$here/libs3_host.c" \
	$(pkg-config --cflags --libs lsvd) -o "$work/host"
python3 - "$work/port" <<'SERVER' &
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        signed = self.headers.get("Authorization", "").startswith(("AWS key:", "AWS4-HMAC"))
        self.send_response(200 if signed and self.path.startswith("/bbb/") else 403)
        self.send_header("Content-Length", "7")
        self.send_header("x-amz-request-id", "1")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as port:
    port.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
SERVER
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
for ((i = 0; i < 500; i++)); do
	[[ ! -e $work/port ]] || break
	sleep 0.02
done
url="s3://bbb?endpoint=http://127.0.0.1:$(<"$work/port")&client="
"$work/host" "${url}libs3" || fail "the program and the module do not live together"

# Found beside the library wherever that is; not without it.
refused() {
	local status=0
	"$work/host" "${url}libs3" 2>"$work/err" || status=$?
	[[ $status -eq 2 ]] || fail "exit status $status, expected 2"
	grep -qF -- "$1" "$work/err" || fail "expected '$1': $(<"$work/err")"
}
mv "$module" "$work/away.so"
refused 'S3 client "libs3": the module is not there'
mkdir "$work/modules"
cp "$work/away.so" "$work/modules/store_libs3.so"
LSVD_MODULE_DIR=$work/modules "$work/host" "${url}libs3" || fail "not found in LSVD_MODULE_DIR"
LSVD_MODULE_DIR=modules refused 'is no absolute path'
echo 'no library' >"$module"
refused 'does not load'
echo 'int nothing;' | ${CC:-cc} -shared -fPIC -x c - -o "$module"
refused 'has no lsvd_s3_client'
echo 'static unsigned table[16] = { 99 }; const void *lsvd_s3_client(void) { return table; }' |
	${CC:-cc} -shared -fPIC -x c - -o "$module"
refused 'has interface 99, this library 1'
echo "one symbol, no clash, found and missed"
