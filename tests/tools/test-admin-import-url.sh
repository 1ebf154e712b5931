#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-import-url.sh - import from http: what a server may answer, and what of it is an image.
# lsvd-test: timeout=300 labels=quick
. "$(dirname "$0")/functions-image.sh"
here=$(cd "$(dirname "$0")" && pwd)
begin
config
image image.raw
bytes=$(stat -c %s image.raw)
rounded=$(((bytes + 511) / 512 * 512))
no_proxy=127.0.0.1
export no_proxy

python3 "$here/http-images.py" port &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$tmp"' EXIT
until [[ -s port ]]; do kill -0 $server || fail "the server has ended"; done
url=http://127.0.0.1:$(cat port)

# is_image NAME: the volume has the image's bytes; then it is deleted.
is_image() {
	expect 0 sha256 -c lsvd.conf -n "$1" --range "0:$rounded"
	prints "$(padded_sum image.raw $rounded)"
	expect 0 delete -c lsvd.conf -n "$1" --yes
}

expect 0 import -c lsvd.conf -n web --verify "$(sum_of image.raw)" --read-back "$url/image.raw" --json
is "o['bytes'] == $rounded and o['source_bytes'] == $bytes"
is_image web
expect 0 import -c lsvd.conf -n web "$url/moved"
is_image web

# Without a length a size is needed; chunks say where they end.
expect 1 import -c lsvd.conf -n web "$url/chunked"
says 'does not say how long it is'
expect 0 import -c lsvd.conf -n web -s 16M "$url/chunked"
is_image web

# A reply that ends with the connection is taken only with a sum.
expect 1 import -c lsvd.conf -n web -s 16M "$url/unsaid"
says 'could be cut off unnoticed: give its sum, --verify'
no_volume web
expect 0 import -c lsvd.conf -n web -s 16M --verify "$(sum_of image.raw)" "$url/unsaid"
is_image web
expect 1 import -c lsvd.conf -n web -s 16M --verify "$(sum_of image.raw)" "$url/unsaid-cut"
no_volume web

# A page that says that there is no image is not an image, nor is anything else but status 200.
for bad in nowhere:404 broken:500 lost:404 part:206 empty:204; do
	expect 1 import -c lsvd.conf -n web -s 16M "$url/${bad%:*}"
	says "the server answered with status ${bad#*:}"
	no_volume web
done

# Transfers that end early.
for bad in cut cut-early chunked-cut; do
	expect 1 import -c lsvd.conf -n web -s 16M "$url/$bad"
	says "$url/$bad: "
	says 'volume web: not imported, nothing is left of it'
	no_volume web
done

# Redirects in a circle, and to what is no URL of the web.
expect 1 import -c lsvd.conf -n web "$url/loop"
says "Maximum (5) redirects followed"
expect 1 import -c lsvd.conf -n web "$url/elsewhere"
says 'Protocol "file" not supported or disabled'
no_volume web

# A wrong sum, a wrong size, a qcow2 image, nobody there.
expect 1 import -c lsvd.conf -n web --verify "$(printf 1%.0s {1..64})" "$url/image.raw"
says "SHA-256 is $(sum_of image.raw)"
expect 1 import -c lsvd.conf -n web -s 1M "$url/image.raw"
says "$bytes bytes, more than --size"
expect 1 import -c lsvd.conf -n web "$url/qcow2"
says 'is a qcow2 image: fetch it to a file'
expect 1 import -c lsvd.conf -n web http://127.0.0.1:1/image.raw
expect 1 import -c lsvd.conf -n web http://
no_volume web

# Over https from who is trusted, and from nobody else; and never on to a place without it.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
	-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out ca.pem 2>openssl.log
cat key.pem ca.pem >server.pem
python3 "$here/http-images.py" tls-port server.pem &
tls_server=$!
trap 'kill $server $tls_server 2>/dev/null; rm -rf "$tmp"' EXIT
until [[ -s tls-port ]]; do kill -0 $tls_server || fail "the server has ended"; done
tls=https://127.0.0.1:$(cat tls-port)
expect 0 import -c lsvd.conf -n web --ca-file ca.pem --verify "$(sum_of image.raw)" "$tls/image.raw"
is_image web
expect 1 import -c lsvd.conf -n web "$tls/image.raw"
says "$tls/image.raw: "
expect 1 import -c lsvd.conf -n web --ca-file ca.pem "https://localhost:$(cat tls-port)/image.raw"
expect 1 import -c lsvd.conf -n web --ca-file ca.pem "$tls/nowhere"
says 'the server answered with status 404'
expect 1 import -c lsvd.conf -n web --ca-file ca.pem "$tls/to/$(cat port)"
says 'Protocol "http" not supported or disabled'
no_volume web

# Credentials of a URL are not shown.
expect 1 import -c lsvd.conf -n web "http://me:secret@127.0.0.1:$(cat port)/nowhere"
! grep -q secret err || fail "the message has the password"

# A signal while the server says nothing.
background import -c lsvd.conf -n web "$url/stalls"
until [[ -n $(find cache -name 'web.log' 2>/dev/null) ]]; do
	kill -0 "$pid" || fail "ended by itself"
done
kill -INT "$pid"
ends 1
no_volume web
