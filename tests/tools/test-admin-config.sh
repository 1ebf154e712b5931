#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-config.sh - configurations (status 2) and stores (status 1) that cannot be used: a
# message that names the object, no secret in it. (What a file may hold: test_config.c.)
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin

# bad STATUS TEXT CONFIGURATION: refused by every command, with the text.
bad() {
	local command
	printf '%s' "$3" >lsvd.conf
	for command in list 'init -n a -s 1G' 'inspect -n a' 'delete -n a --yes'; do
		expect "$1" $command -c lsvd.conf
		says "$2"
		[[ $(wc -l <err) = 1 ]] || fail "more than one line"
		! grep -q 'hunter2' err || fail "a secret is shown"
	done
}

expect 2 list -c absent.conf
says 'absent.conf: No such file'
expect 2 list -c ''
says 'no path given'
mkfifo idle # nobody writes into it
expect 2 list -c idle
says 'idle: no store'
truncate -s 1G huge
expect 2 list -c huge
says 'huge: more than 1048576 bytes'
expect 2 list -c .
says 'Is a directory'
: >unreadable.conf
chmod 0 unreadable.conf
if [[ ! -r unreadable.conf ]]; then # the superuser reads it all the same
	expect 2 list -c unreadable.conf
	says 'unreadable.conf: Permission denied'
fi

bad 2 'lsvd.conf: no store' ''
bad 2 'lsvd.conf:1: ' 'cach_path = "x"'
bad 2 'cache_path a second time: "b" here, "a" in line 1' $'cache_path = "a"\ncache_path = "b"\n'
bad 2 'two stores' $'storage {\n file_path = "s"\n s3 {\n  bucket = "bbb"\n  region = "r"\n }\n}\n'
bad 2 'single quotes' $'storage {\n s3 {\n  secret_key = "hunter2${HOME}"\n }\n}\n'
bad 2 'lsvd.conf:3: secret_key' $'storage {\n s3 {\n  secret_key = hunter2/x\n }\n}\n'
bad 2 'log_size: "9T"' $'log_size = 9T\nstorage { file_path = "s" }\n'
[[ ! -e s && ! -e a ]] || fail "something was made"

# The README of lab47/lsvd: its file is understood; here nobody listens on its port.
cat >lsvd.conf <<'CONF'
cache_path = "./data/cache"

storage {
  s3 {
    bucket = "lsvdinttest"
    region = "us-east-1"
    access_key = "admin"
    secret_key = "hunter2"
    host = "http://localhost:9999"
  }
}
CONF
expect 1 list -c lsvd.conf
says 'list s3://lsvdinttest/'
! grep -q 'hunter2' err || fail "a secret is shown"

# Its way of naming a directory.
printf 'cache_path = "c"\nstorage {\n file_path = "./store"\n s3 {\n bucket = ""\n region = ""\n }\n}\n' >lsvd.conf
expect 0 init -c lsvd.conf -n test -S 2T
[[ -d store ]] || fail "the store is elsewhere"

# Paths are relative to where the tool is started, not to the file.
mkdir elsewhere
expect 0 list -c lsvd.conf --json
is 'len(o["volumes"]) == 1'
(cd elsewhere && expect 1 list -c ../lsvd.conf && says store)

# Stores that are none.
: >store.file
printf 'storage { file_path = "./store.file" }\n' >lsvd.conf
expect 1 list -c lsvd.conf
says store.file
expect 1 init -c lsvd.conf -n a -s 1G
says store.file
printf 'storage { file_path = "./no/such/store" }\n' >lsvd.conf
expect 1 init -c lsvd.conf -n a -s 1G
says no/such

# From a pipe.
status=0
"$admin" list --json -c <(printf 'storage { file_path = "./store" }\n') >out 2>err || status=$?
[[ $status = 0 ]] || fail "a configuration from a pipe: status $status"
is '[v["name"] for v in o["volumes"]] == ["test"]'

# The library's messages on request; the facts stay alone on standard output.
printf 'storage { file_path = "./store" }\n' >lsvd.conf
LSVD_DEBUG=0 expect 0 list -c lsvd.conf
LSVD_DEBUG=1 "$admin" list -c lsvd.conf --json >out 2>err
is 'len(o["volumes"]) == 1'
"$admin" list -D -c lsvd.conf --json >out 2>err
is 'len(o["volumes"]) == 1'
