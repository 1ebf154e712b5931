#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=60 s3
#
# test-s3-server.sh - the server that the S3 tests stand on does what they take for granted.
set -euo pipefail
support=$(cd "$(dirname "$0")/../support" && pwd)
prefix=server-$$/
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-s3.XXXXXX")
trap '"$support/s3" rmr "$prefix"; rm -rf "$tmp"' EXIT
s3() { "$support/s3" "$@"; }

it() { echo "it: $*"; }
refused() {
	local code=$1
	shift
	! s3 "$@" >"$tmp/out" 2>"$tmp/err" || { echo "not refused: $*" >&2; exit 1; }
	grep -q ": $code" "$tmp/err" || { cat "$tmp/err" >&2; exit 1; }
}

it 'gives back what it was given, whatever the key is made of'
head -c 100000 /dev/urandom >"$tmp/a"
for key in plain 'deep/er/key' 'a b+c=d&e' 'tilde~under_score.dot-hyphen'; do
	s3 put "$prefix$key" "$tmp/a"
	s3 get "$prefix$key" | cmp - "$tmp/a"
done
[[ $(s3 ls "$prefix" | wc -l) -eq 4 ]]

it 'creates a key once if asked to'
s3 put "${prefix}once" "$tmp/a" --if-none-match
refused 412 put "${prefix}once" "$tmp/a" --if-none-match

it 'gives a range, and less of it at the end of an object'
s3 get "${prefix}once" --range 10-19 | cmp - <(tail -c +11 "$tmp/a" | head -c 10)
[[ $(s3 get "${prefix}once" --range 99990-200000 | wc -c) -eq 10 ]]
refused 416 get "${prefix}once" --range 100000-100010

it 'says so when there is nothing'
refused '404 NoSuchKey' get "${prefix}nothing"

it 'does not know other keys than those it was given'
LSVD_TEST_S3_SECRET_KEY=wrong refused '403 SignatureDoesNotMatch' get "${prefix}once"
LSVD_TEST_S3_ACCESS_KEY=nobody refused '403 InvalidAccessKeyId' get "${prefix}once"
