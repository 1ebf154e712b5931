# SPDX-License-Identifier: BSD-2-Clause
#
# functions.sh - what the end-to-end scripts share. A script begins with
#
#   . "$(dirname "$0")/functions.sh"
#   begin
#
# and from then on has a directory $tmp of its own that is removed at the end, whatever the end.
# `it SENTENCE` names what the following lines check; the first command that fails ends the script
# and the sentence is printed with the line. Nothing waits for a fixed time: wait_until polls for an
# event and fails at a deadline. Programs are killed by process id, only those started here.
#
# From outside:  LSVD_BIN_DIR        where lsvd-nbd and lsvd-admin are
#                LSVD_E2E_WRITER     the program made of writer*.c (made here if not set)
#                LSVD_TEST_SEED      repeats a run's random choices
#                LSVD_E2E_LIMIT      seconds after which a script is given up (580)
#                LSVD_E2E_KEEP       leave the directories of a failure behind, and say where
#                LSVD_E2E_STORE      dir, curl or libs3: what volumes are stored in (support/s3.sh)
# Exit codes:    0 passed, 1 failed, 77 the kernel lacks something (the message says what)

set -Eeuo pipefail
shopt -s inherit_errexit

e2e_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$e2e_dir/../.." && pwd)
. "$source_dir/tests/support/s3.sh"
. "$source_dir/tests/support/bytes.sh"
if [[ -z ${E2E_GUARD:-} ]]; then
	E2E_GUARD=1 exec timeout -k 20 "${LSVD_E2E_LIMIT:-580}" bash "$0" "$@"
fi

# Debian's nbd module for Python belongs to Debian's interpreter.
PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
export PATH LC_ALL=C
bin_dir=${LSVD_BIN_DIR:-$source_dir/build/bin}
seed=${LSVD_TEST_SEED:-$RANDOM$RANDOM}
RANDOM=$((seed % 32768))
volume=disk
title="begin"
cleanups=()
server_pid=
server_log=
server_count=0

say() { printf '%s\n' "$*"; }

fail() {
	say "FAILED: $title: $*" >&2
	exit 1
}

# skip WHAT: only for what this kernel does not have.
skip() {
	say "SKIPPED: this machine has no $*" >&2
	exit 77
}

it() {
	[[ $title == begin ]] || say "ok: $title"
	title=$1
}

# defer COMMAND...: run at the end, the last first.
defer() { cleanups+=("$(printf '%q ' "$@")"); }

on_error() {
	local status=$? line=$1 command=$2
	trap - ERR
	if [[ $BASH_SUBSHELL -eq 0 ]]; then
		say "FAILED: $title: line $line: $command: status $status" >&2
	fi
	exit 1
}

remove_unless_kept() {
	if [[ -n ${LSVD_E2E_KEEP:-} && $exit_status -ne 0 ]]; then
		say "kept: $1" >&3
	else
		rm -rf "$1"
	fi
}

on_exit() {
	local status=$?
	exit_status=$status
	trap - EXIT ERR
	set +e
	if [[ $status -ne 0 && $status -ne 77 && -s $server_log ]]; then
		say "--- the end of the server's log" >&2
		tail -n 20 "$server_log" >&2
	fi
	local i
	exec 3>&2
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		eval "${cleanups[i]}" >/dev/null 2>&1
	done
	[[ $status -ne 0 ]] || say "ok: $title"
	exit "$status"
}

begin() {
	trap on_exit EXIT
	trap 'on_error $LINENO "$BASH_COMMAND"' ERR
	trap 'fail "interrupted or out of time"' TERM INT
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-e2e.XXXXXX")
	defer remove_unless_kept "$tmp"
	# What records acknowledgements must not share the fate of what is tested.
	ram=$(mktemp -d "/dev/shm/lsvd-e2e.XXXXXX")
	defer remove_unless_kept "$ram"
	sock=$tmp/nbd.sock
	uri="nbd+unix:///$volume?socket=$sock"
	config=$tmp/lsvd.hcl
	cd "$tmp"
	say "seed $seed"
}

# ---------------------------------------------------------------------------- waiting

# wait_until SECONDS COMMAND...: polls until the command succeeds; 1 at the deadline.
wait_until() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		[[ ${EPOCHREALTIME/./} -lt $end ]] || return 1
		sleep 0.02
	done
}

# has_ended PID: true for what is gone, or waits only for its parent.
has_ended() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	[[ $stat == *") Z "* ]]
}

# is_child PID: process numbers are used again, so only children of this shell are ever signalled.
is_child() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
	[[ ${stat##*) } == [A-Z]" $$ "* ]]
}

# end_process PID [SIGNAL]: signals, waits, and after 30 s insists.
end_process() {
	is_child "$1" || return 0
	kill -s "${2:-TERM}" "$1" 2>/dev/null || true
	wait_until 30 has_ended "$1" || kill -s KILL "$1"
	wait "$1" 2>/dev/null || true
}

# end_group PID: a child that leads a process group, with all that are in it.
end_group() {
	is_child "$1" || return 0
	kill -s KILL -- "-$1" 2>/dev/null || true
	end_process "$1" KILL
}

need() {
	local program
	for program; do
		command -v "$program" >/dev/null ||
			fail "no program $program: see tests/debian-packages.txt"
	done
}

# ----------------------------------------------------------------- volumes and servers

# make_store [LINE...]: a configuration with a store and a cache; LINEs go to its top.
make_store() {
	case $store_kind in
	dir) ;;
	curl | libs3)
		s3_client=$store_kind
		make_s3_store "$@"
		return
		;;
	*) fail "LSVD_E2E_STORE=$store_kind" ;;
	esac
	mkdir -p "$tmp/store"
	{
		printf '%s\n' "$@"
		printf 'cache_path = "%s"\n' "${cache_dir:-$tmp/cache}"
		printf 'storage {\n\tfile_path = "%s"\n}\n' "${store_dir:-$tmp/store}"
	} >"$config"
}

# With leave to write to a store without create-if-absent, if it is one.
admin() {
	local leave=()
	case $1 in
	init | delete | resize | seal | gc | pack | snapshot | clone | flatten | import | check)
		leave=("${unsafe_store[@]}")
		;;
	esac
	"$bin_dir/lsvd-admin" "$@" "${leave[@]}" -c "$config"
}

# ask COMMAND ARG...: lsvd-admin with --json, to $tmp/out.
ask() { admin "$@" --json >"$tmp/out"; }

# json EXPRESSION: it is true of the object o in $tmp/out.
json() {
	/usr/bin/python3 -c 'import json, sys
o = json.load(open(sys.argv[1]))
if not eval(sys.argv[2]):
    sys.exit(f"not true: {sys.argv[2]}, of: {json.dumps(o)}")' "$tmp/out" "$1"
}

# uri_of EXPORT: where a server of several volumes has it.
uri_of() { printf 'nbd+unix:///%s?socket=%s' "$1" "$sock"; }

# write_image EXPORT NUMBER: random bytes over all of it, kept as $tmp/image.NUMBER.
write_image() {
	head -c "$(nbdinfo --size "$(uri_of "$1")")" /dev/urandom >"$tmp/image.$2"
	nbdcopy --flush "$tmp/image.$2" "$(uri_of "$1")"
}

# holds EXPORT NUMBER: it has that image's bytes.
holds() {
	rm -f "$tmp/copy"
	nbdcopy "$(uri_of "$1")" "$tmp/copy"
	cmp "$tmp/copy" "$tmp/image.$2"
}

# refuses TEXT COMMAND ARG...: lsvd-admin fails, and says so.
refuses() {
	local text=$1
	shift
	! admin "$@" >"$tmp/out" 2>"$tmp/err" || fail "$* succeeded"
	grep -qF -- "$text" "$tmp/err" || fail "$*: $(<"$tmp/err")"
}

make_volume() {
	admin init -n "${2:-$volume}" -S "$1" >"$tmp/init.out"
}

# objects: lengths and names of all there is in the store.
objects() {
	if [[ $store_kind == dir ]]; then
		(cd "$tmp/store" && find . -type f -printf '%s %p\n' | sort)
	else
		s3 ls "$s3_directory/" | sort
	fi
}

# What a client starts by itself, on a socket it hands over or on standard input and output.
server_command() {
	server=("$bin_dir/lsvd-nbd" -c "$config" -n "$volume" "${unsafe_store[@]}")
}

server_says_ready() {
	has_ended "$server_pid" || grep -q '^lsvd-nbd: serving ' "$server_log"
}

# launch_server [ARG...]: starts it and does not wait; $server_pid, $server_log.
launch_server() {
	server_log=$tmp/server-$((++server_count)).log
	: >"$server_log"
	"$bin_dir/lsvd-nbd" -c "$config" "${unsafe_store[@]}" "$@" </dev/null 2>"$server_log" &
	server_pid=$!
	defer end_process "$server_pid" KILL
}

# start_server [ARG...]: serves $volume on $sock; returns when connections are accepted.
start_server() {
	start_server_as -n "$volume" -U "$sock" "$@"
}

start_server_as() {
	launch_server "$@"
	wait_until 60 server_says_ready || fail "the server is not ready after 60 s"
	! has_ended "$server_pid" || fail "the server ended before it was ready"
}

# stop_server [SIGNAL]: asks it to end; $server_status has its exit code.
stop_server() {
	kill -s "${1:-TERM}" "$server_pid"
	wait_until 60 has_ended "$server_pid" || fail "the server runs 60 s after SIG${1:-TERM}"
	server_status=0
	wait "$server_pid" 2>/dev/null || server_status=$?
}

kill_server() {
	kill -s KILL "$server_pid" 2>/dev/null || true
	wait "$server_pid" 2>/dev/null || true
}

# ------------------------------------------------------------------------------- tools

# The stamping writer; built here when the script is run by hand.
need_writer() {
	[[ -n ${LSVD_E2E_WRITER:-} ]] || LSVD_E2E_WRITER=${LSVD_BUILD_DIR:-/}/tests/bin/writer
	[[ ! -x $LSVD_E2E_WRITER ]] || return 0
	LSVD_E2E_WRITER=$tmp/writer
	cc -std=gnu11 -D_GNU_SOURCE -O2 -o "$LSVD_E2E_WRITER" "$e2e_dir"/writer*.c -lnbd
}

writer() {
	need_writer
	"$LSVD_E2E_WRITER" "$@"
}

# start_writer ARG...: the same in the background: $load, and what it says in $tmp/load.
start_writer() {
	need_writer
	"$LSVD_E2E_WRITER" "$@" >"$tmp/load" 2>&1 &
	load=$!
	defer end_process "$load" KILL
}

# issued STATE: how many operations a writer has issued since its last check.
issued() { od -An -t u8 -j 48 -N 8 "$1" | tr -d ' '; }

# random_file FILE BYTES: the same bytes for the same seed.
random_file() {
	/usr/bin/python3 -c 'import random, sys
random.seed(int(sys.argv[3]))
left = int(sys.argv[2])
with open(sys.argv[1], "wb") as f:
    while left:
        n = min(left, 1 << 20)
        f.write(random.randbytes(n))
        left -= n' "$1" "$2" "$seed"
}

# python_nbd [ARG...] <<script: nbdsh with the script on standard input, connected to $uri.
python_nbd() { nbdsh --base-allocation -u "$uri" "$@" -c -; }

# python_child <<script: nbdsh not connected; the list `server` is the command that serves.
python_child() {
	E2E_SERVER=$(printf '%s\n' "${server[@]}") nbdsh \
		-c 'import os; server = os.environ["E2E_SERVER"].split("\n")' -c -
}

# ------------------------------------------------------------- file systems of this kernel

need_root_and_loop() {
	[[ $(id -u) -eq 0 ]] || skip "root: mounting needs it"
	[[ -c /dev/fuse ]] || skip "FUSE (/dev/fuse)"
	[[ -c /dev/loop-control ]] || skip "loop devices (/dev/loop-control)"
}

# attach_nbd URI: the export as a block device of this kernel: $loop, by way of a file in FUSE.
attach_nbd() {
	local dir=$tmp/fuse-$((++server_count))
	mkdir "$dir"
	nbdfuse "$dir/disk" "$1" 2>"$dir.log" &
	fuse_pid=$!
	defer end_process "$fuse_pid" KILL
	defer fusermount3 -uz "$dir"
	wait_until 30 test -s "$dir/disk" || fail "nbdfuse: $(<"$dir.log")"
	loop=$(losetup -f --show --direct-io=on "$dir/disk")
	defer detach_loop_of "$dir/disk"
	fuse_dir=$dir
}

# Device names are used again: the file says whose a loop device is.
loop_of() { losetup -l -n -O NAME,BACK-FILE | awk -v file="$1" '$2 == file { print $1 }'; }
no_loop_of() { [[ -z $(loop_of "$1") ]]; }
detach_loop_of() { no_loop_of "$1" || losetup -d "$(loop_of "$1")"; }

# mount_loop TYPE DIRECTORY [OPTION...]
mount_loop() {
	mount -t "$1" "${@:3}" "$loop" "$2"
	defer umount -l "$2"
}

detach_nbd() {
	losetup -d "$loop"
	wait_until 30 no_loop_of "$fuse_dir/disk" || fail "$loop stays attached"
	fusermount3 -u "$fuse_dir"
	wait_until 30 has_ended "$fuse_pid" || fail "nbdfuse does not end"
}
