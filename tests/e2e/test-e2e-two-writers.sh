#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# lsvd-test: timeout=600
#
# test-e2e-two-writers.sh - two hosts, one volume: a writer that was stopped in its tracks comes back
# after another has taken over; and two that open at the same instant.
#
#   test-e2e-two-writers.sh [-n ROUNDS] [--json FILE]
#
# Hosts are two configurations with caches of their own and one store. Rounds take turns: flush to the
# store or here; stopped at any instant or, where a proxy can hold it, inside the PUT of an object,
# which then arrives while the second one is serving, or after the first one has woken up.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-580}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/functions.sh"
begin
need nbdsh jq

rounds=5
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) rounds=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-n ROUNDS] [--json FILE]" ;;
	esac
	shift 2
done

size=$((12 << 20))
lease_ms=500
worst_ms=0
inside_put=0
declare -A pid_of log_of uri_of

if [[ $store_kind != dir ]]; then
	start_proxy
	direct=$LSVD_TEST_S3_ENDPOINT
fi

# host NAME: its configuration and cache are meant from now on. The first one goes through the proxy.
host() {
	config=$tmp/$1.hcl
	cache_dir=$tmp/cache-$1
	sock=$tmp/$1.sock
	uri="nbd+unix:///$volume?socket=$sock"
	uri_of[$1]=$uri
	server_pid=${pid_of[$1]:-}
	server_log=${log_of[$1]:-}
}

# both FLUSH: two hosts and a new volume.
both() {
	local name
	volume=disk$((++volumes))
	for name in a b; do
		pid_of[$name]=
		host "$name"
		rm -rf "$cache_dir"
		[[ $store_kind == dir || $name == a ]] || s3_endpoint=$direct
		# Who is refused can read what the other one has not deleted: here, all of it.
		make_store 'gc = "off"' "flush = \"$1\"" "lease_check = \"${lease_ms}ms\"" 'log_size = "32M"' \
			'segment_size = "256K"' 'checkpoint_segments = 4'
	done
	[[ $store_kind == dir ]] || s3_endpoint=$(<"$proxy_dir/endpoint")
	make_volume "$size"
}
volumes=0

serve() {
	host "$1"
	shift
	start_server "$@"
	pid_of[${sock:${#sock}-6:1}]=$server_pid
	log_of[${sock:${#sock}-6:1}]=$server_log
}

# client: a connection to the first host that was there before anything happened. When `go` appears it
# writes and flushes until it is refused, and says how long that took and with what error.
start_client() {
	rm -f "$tmp/go" "$tmp/client.out"
	nbdsh -u "${uri_of[a]}" -c - >"$tmp/client.out" 2>&1 <<-'PY' &
		import errno, os, time
		end = h.get_size() - 4096
		h.pwrite(b"\x41" * 4096, end)
		print("connected", flush=True)
		while not os.path.exists("go"):
		    time.sleep(0.005)
		begun = time.monotonic()
		def attempt(what, call):
		    while True:
		        try:
		            call()
		        except nbd.Error as e:
		            print(what, int((time.monotonic() - begun) * 1000),
		                  e.errno or "gone", flush=True)
		            return
		        print(what, "acknowledged", int((time.monotonic() - begun) * 1000))
		        if what == "flush":
		            return
		remote = os.path.exists("remote")
		if remote:
		    attempt("flush", h.flush)
		attempt("write", lambda: h.pwrite(b"\x42" * 4096, end))
		attempt("flush", h.flush)
		# What it was can still be read.
		h.pread(4096, end)
		print("read", flush=True)
	PY
	client=$!
	defer end_process "$client" KILL
	wait_until 30 grep -qs connected "$tmp/client.out" || fail "$(<"$tmp/client.out")"
}

# stop_first: in the middle of a load, or inside a PUT of it.
stop_first() {
	local acks
	issued_enough() { [[ $(issued "$ram/first") -gt $acks ]] || has_ended "$load"; }
	acks=$((100 + RANDOM % 1500))
	start_writer load "$ram/first" "${uri_of[a]}" --may-die --seed "$RANDOM" \
		--depth "$((1 << RANDOM % 5))" --connections 2
	if [[ $how == put ]]; then
		rule held hold '"verb": "PUT"' '"key": "/d/"' "\"skip\": $((RANDOM % 6))"
		wait_acted held
		inside_put=$((inside_put + 1))
	else
		wait_until 60 issued_enough || fail "the load does not get on"
	fi
	kill -s STOP "${pid_of[a]}"
	cp "$ram/first" "$ram/second"
}

# What the first one's client was told, after it had been woken up.
refusals() {
	local ms
	grep -q '^read' "$tmp/client.out" || fail "the client: $(<"$tmp/client.out")"
	if [[ $flush == remote ]]; then
		! grep -q '^flush acknowledged' "$tmp/client.out" ||
			fail "a remote flush of the first was acknowledged: $(<"$tmp/client.out")"
		grep -q '^flush [0-9]* ESHUTDOWN' "$tmp/client.out" || fail "$(<"$tmp/client.out")"
	fi
	grep -q '^write [0-9]* ESHUTDOWN' "$tmp/client.out" || fail "$(<"$tmp/client.out")"
	ms=$(sed -n 's/^write \([0-9]*\) ESH.*/\1/p' "$tmp/client.out")
	# The window, and what a busy machine takes.
	[[ $ms -le $((lease_ms + 4000)) ]] || fail "writes were taken for $ms ms"
	[[ $ms -le $worst_ms ]] || worst_ms=$ms
}

for ((round = 0; round < rounds; round++)); do
	flush=remote flag=--takeover demand=--flushed how=any late=before
	((round % 2 == 0)) || flush=local flag=--accept-rollback demand=--prefix
	[[ $store_kind == dir ]] || ((round % 3 == 1)) || how=put
	((round % 4 < 2)) || late=after
	it "round $round ($flush, $how, $late): the second one has it whole, the first one is refused"
	both "$flush"
	rm -f "$ram/first" "$ram/second" "$tmp/remote"
	[[ $flush == local ]] || touch "$tmp/remote"
	writer init "$ram/first" --size "$((size - (1 << 20)))" --seed "$((seed + round))"
	serve a
	start_client
	stop_first
	serve b "$flag"
	writer check "$ram/second" "${uri_of[b]}" "$demand" >"$tmp/check"
	writer load "$ram/second" "${uri_of[b]}" --acks 400 --seed "$RANDOM" --flush >"$tmp/out"
	[[ $how != put || $late == after ]] || proxy clear
	kill -s CONT "${pid_of[a]}"
	touch "$tmp/go"
	[[ $how != put || $late == before ]] || proxy clear
	wait_until 60 has_ended "$client" || fail "the first one's client is not answered"
	refusals
	wait_until 60 has_ended "$load" || fail "the first one's load goes on"
	writer check "$ram/second" "${uri_of[b]}" >"$tmp/check"
	writer load "$ram/second" "${uri_of[b]}" --acks 100 --seed "$RANDOM" --flush >"$tmp/out"
	end_process "${pid_of[a]}"
	host b
	stop_server
	[[ $server_status -eq 0 ]] || fail "exit code $server_status"
	rm -rf "$tmp/cache-b"
	serve b
	writer check "$ram/second" "${uri_of[b]}" >"$tmp/check"
	end_process "${pid_of[b]}" KILL
done

it 'the slot of a fenced log is never used again, however late its object comes'
# The first one is stopped inside a PUT; the second ends its chain, writes all of it over, checkpoints
# what is left and throws away what it need not keep. The late object must find its name taken.
both remote
if [[ $store_kind == dir ]]; then
	say "(nothing can hold a PUT into a directory)"
else
	rm -f "$ram/first" "$ram/second"
	writer init "$ram/first" --size "$((size - (1 << 20)))" --seed "$seed"
	serve a
	writer load "$ram/first" "${uri_of[a]}" --acks 800 --seed "$RANDOM" --flush >"$tmp/out"
	rule held hold '"verb": "PUT"' '"key": "/d/"' '"first": 1'
	start_writer load "$ram/first" "${uri_of[a]}" --may-die --seed "$RANDOM"
	wait_acted held
	kill -s STOP "${pid_of[a]}"
	cp "$ram/first" "$ram/second"
	serve b --takeover
	writer check "$ram/second" "${uri_of[b]}" --flushed >"$tmp/check"
	for ((i = 0; i < 4; i++)); do
		nbdsh -u "${uri_of[b]}" -c 'for at in range(0, h.get_size(), 1 << 20): h.zero(1 << 20, at)' \
			-c 'h.flush()'
		writer init "$ram/again-$i" --size "$((size - (1 << 20)))" --seed "$((seed + i))"
		writer load "$ram/again-$i" "${uri_of[b]}" --acks 400 --seed "$RANDOM" --flush >"$tmp/out"
	done
	before=$(proxy get statuses.412)
	kill -s KILL "${pid_of[a]}"
	proxy clear
	taken() { [[ $(proxy get statuses.412) -gt $before ]]; }
	wait_until 30 taken || fail "the late object was not refused: $(proxy counts)"
	kill -s KILL "${pid_of[b]}"
	rm -rf "$tmp/cache-b"
	serve b --takeover
	writer check "$ram/again-3" "${uri_of[b]}" --flushed >"$tmp/check"
	host b
	stop_server
fi

# both_open [ARG...]: at the same instant; returns when each has come to serve or has ended.
both_open() {
	local name
	for name in a b; do
		host "$name"
		launch_server -n "$volume" -U "$sock" "$@"
		pid_of[$name]=$server_pid log_of[$name]=$server_log
	done
	for name in a b; do
		host "$name"
		wait_until 60 server_says_ready || fail "$name: neither served nor ended"
	done
}

# Whoever is served and cannot flush was fenced before he had anything to lose.
can_write() {
	host "$1"
	! has_ended "$server_pid" && nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0)' -c 'h.flush()' \
		2>"$tmp/one.err"
}

count_writers() {
	writes=0
	for name in a b; do
		! can_write "$name" || writes=$((writes + 1))
	done
}

end_both() {
	for name in a b; do
		end_process "${pid_of[$name]}"
	done
}

it 'of two that take a volume at the same instant exactly one can write'
for ((round = 0; round < rounds; round++)); do
	both remote
	both_open --takeover
	count_writers
	[[ $writes -eq 1 ]] || fail "round $round: $writes can write: $(cat "${log_of[@]}")"
	end_both
done

it 'of two that open at the same instant exactly one can write, and it stays so'
for ((round = 0; round < rounds; round++)); do
	both remote
	both_open
	count_writers
	[[ $writes -eq 1 ]] || fail "round $round: $writes can write: $(cat "${log_of[@]}")"
	count_writers
	[[ $writes -eq 1 ]] || fail "round $round: $writes can still write: $(cat "${log_of[@]}")"
	end_both
done

it 'the account'
say "$rounds rounds; $inside_put of them stopped inside a PUT; writes of a fenced writer were taken" \
	"for at most $worst_ms ms (lease_check ${lease_ms} ms); $((2 * rounds)) races of openers"
[[ -z $json ]] || printf '{"rounds": %d, "inside_put": %d, "worst_ms": %d, "races": %d, "seed": %d}\n' \
	"$rounds" "$inside_put" "$worst_ms" "$((2 * rounds))" "$seed" >"$json"
