#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-log.sh - what the server says: where, how much, in which form, and once a minute.
. "$(dirname "$0")/functions.sh"
begin
need nbdsh

make_store
make_volume 8M
make_volume 8M busy

# Runs until the end of this script: its minute passes while the rest is tested.
it 'a server whose minute begins'
busy_sock=$tmp/busy.sock
start_server_as -n busy -U "$busy_sock"
busy_pid=$server_pid
busy_log=$server_log
nbdsh -u "nbd+unix:///busy?socket=$busy_sock" -c 'h.pwrite(b"\x11" * 8192, 0)' \
	-c 'h.flush()' -c 'h.pread(4096, 0)'

# run_once ARG...: a server that has had a client, ended; what it said is in $server_log.
run_once() {
	launch_server -n "$volume" -U "$sock" "$@" >"$tmp/stdout"
	can_connect() { has_ended "$server_pid" || nbdinfo --size "$uri" >"$tmp/out" 2>&1; }
	wait_until 60 can_connect
	stop_server
	[[ $server_status -eq 0 ]] || fail "exit code $server_status"
	[[ ! -s $tmp/stdout ]] || fail "standard output: $(<"$tmp/stdout")"
}

it 'all it says goes to standard error, and by default is no debugging'
run_once
grep -q "^lsvd-nbd: serving $volume on nbd+unix:" "$server_log"
! grep -q '^lsvd-nbd: debug:' "$server_log" || fail "$(<"$server_log")"

it '-D, --log-level debug and LSVD_DEBUG=1 show debugging; LSVD_DEBUG=0 and LSVD_DEBUG= do not'
run_once -D
grep -q '^lsvd-nbd: debug: ' "$server_log"
run_once --log-level debug
grep -q '^lsvd-nbd: debug: ' "$server_log"
LSVD_DEBUG=1 run_once
grep -q '^lsvd-nbd: debug: ' "$server_log"
for off in 0 ''; do
	LSVD_DEBUG=$off run_once
	! grep -q '^lsvd-nbd: debug:' "$server_log" || fail "LSVD_DEBUG='$off': $(<"$server_log")"
done

it '--log-level error leaves only the ready line of a good run'
run_once --log-level error
[[ $(wc -l <"$server_log") -eq 1 ]] || fail "$(<"$server_log")"
grep -q '^lsvd-nbd: serving ' "$server_log"

it '--log-format json: each line is an object with a time, a level and a message'
run_once --log-format json -D
/usr/bin/python3 - "$server_log" <<'PY'
import datetime, json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert lines
for o in lines:
    assert set(o) == {"time", "level", "msg"}, o
    assert o["level"] in ("error", "warn", "info", "debug"), o
    datetime.datetime.strptime(o["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
assert any(o["level"] == "debug" for o in lines)
assert sum(o["msg"].startswith("serving ") for o in lines) == 1
PY

it 'a level or a format that there is not is wrong usage'
for arguments in '--log-level loud' '--log-format xml'; do
	status=0
	# shellcheck disable=SC2086 # an option and its value
	timeout 30 "$bin_dir/lsvd-nbd" -c "$config" -n "$volume" -U "$sock" $arguments \
		2>"$tmp/usage.log" || status=$?
	[[ $status -eq 2 && -s $tmp/usage.log ]] || fail "$arguments: $status"
done

it 'once a minute there is a line of what each volume did; of one that did nothing there is none'
said_statistics() { grep -q '^lsvd-nbd: busy: .* writes ' "$busy_log"; }
wait_until 90 said_statistics || fail "$(<"$busy_log")"
grep '^lsvd-nbd: busy: ' "$busy_log" >"$tmp/line"
[[ $(wc -l <"$tmp/line") -eq 1 ]]
grep -q '1 reads (4 KiB), 1 writes (8 KiB), .* 1 flushes, 0 errors' "$tmp/line" ||
	fail "$(<"$tmp/line")"
server_pid=$busy_pid
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
