#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=600 s3
#
# test-s3-faults.sh - every row of the fault table (docs/s3.md), made by the proxy under a verified load.
#
#   test-s3-faults.sh [-n ROUNDS] [--json FILE]
#
# Each row says what is done to which requests, and what must come of it: that clients notice nothing
# and all is stored, or an error of exactly what is damaged, or the end of writing. The run ends with
# how often each fault was made, and fails if one never was. In every round but the last the rows that
# clients must not notice happen all at once, with chances of their own, and the server is killed now
# and then.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-580}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
need jq nbdsh

rounds=1
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) rounds=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-n ROUNDS] [--json FILE]" ;;
	esac
	shift 2
done

store_kind=curl
size=$((16 << 20))
state=$ram/state
declare -A made
names=()
start_proxy
direct=$LSVD_TEST_S3_ENDPOINT
s3_direct() { s3 --endpoint "$direct" "$@"; }

# ---------------------------------------------------------------------------- volumes and loads

settings() {
	volume=disk$((++volumes))
	uri="nbd+unix:///$volume?socket=$sock"
	cache_dir=$tmp/cache-$volume
	s3_lines=('stall_timeout = 1s' 'connect_timeout = 1s')
	make_store 'segment_size = "256K"' 'log_size = "16M"' 'rcache_size = "none"' \
		"read_timeout = ${read_timeout:-1s}" "$@"
	make_volume "$((size + (1 << 20)))" # the rest is for what is written by hand
	data="^$s3_directory/v/$(admin inspect -n "$volume" --json | jq -r .uuid)/d/"
	rm -f "$state"
	writer init "$state" --size "$size" --seed "$((seed + volumes))"
}
volumes=0

# load [ARG...]: ends with a flush, which in a volume that flushes to the store needs every object.
load() {
	writer load "$state" "$uri" --seed "$RANDOM$RANDOM" --acks 120 --depth 24 --most 256 --flush \
		"$@" >"$tmp/load" 2>&1 || fail "a client noticed: $(<"$tmp/load")"
}
check() { writer check "$state" "$uri" "$@" >"$tmp/check" 2>&1 || fail "$(<"$tmp/check")"; }

# begin_anew: without the cache, so that everything is read from the store.
begin_anew() {
	stop_server
	[[ $server_status -eq 0 ]] || fail "exit code $server_status"
	rm -rf "$cache_dir"
	start_server
}

# row NAME N: so many faults of this row were made.
row() {
	[[ -n ${made[$1]:-} ]] || names+=("$1")
	made[$1]=$((${made[$1]:-0} + $2))
}
# row_of NAME [RULE]: as many as the rule has acted; then it is taken away.
row_of() {
	local acted
	acted=$(acted "${2:-fault}")
	row "$1" "$acted"
	proxy clear "${2:-fault}"
	[[ $acted -gt 0 ]] || fail "the fault was never made"
}

# unnoticed NAME DO [MEMBER...]: happens to requests of a load that has to end as if nothing was.
unnoticed() {
	it "$1: nobody notices"
	rule fault "${@:2}"
	load
	row_of "$1"
}

# unnoticed_reading: the same of reads.
unnoticed_reading() {
	it "$1: reads are right all the same"
	rule fault "${@:2}" '"verb": "GET"' "\"key\": \"$data\""
	check
	row_of "$1"
}

log_says() { grep -q "$1" "$server_log"; }

# delete_at_last: a command that fails leaves what can be deleted by the next.
delete_at_last() {
	local tries=0
	until admin delete -n "$volume" --yes >"$tmp/out" 2>&1; do
		! grep -q 'there is none' "$tmp/out" || return 0
		[[ $((++tries)) -lt 5 ]] || fail "$(<"$tmp/out")"
	done
}

# An object of the volume that has user data, and is read.
some_object() {
	proxy reset
	nbdsh -u "$uri" -c 'for at in range(0, h.get_size(), 1 << 20): h.pread(4096, at)'
	proxy keys GET | grep "$data" | tail -1
}

# reads_in_part: some ranges fail, with EIO; the others are right; both are counted.
reads_in_part() {
	nbdsh -u "$uri" -c - >"$tmp/parts" <<-'PY'
		import errno
		good = bad = 0
		for at in range(0, h.get_size(), 65536):
		    try:
		        h.pread(65536, at)
		        good += 1
		    except nbd.Error as e:
		        assert e.errno == "EIO", e.errno
		        bad += 1
		    # Each error has taken as long as reads may.
		    if good > 1 and bad > 1:
		        break
		print(good, bad)
	PY
	read -r good bad <"$tmp/parts"
	[[ $good -gt 0 && $bad -gt 0 ]] || fail "$good ranges are read, $bad are not"
}

# an_error_of_its_range NAME DO [MEMBER...]: what is wrong with an object for good.
an_error_of_its_range() {
	it "$1, for good: an error of what it holds, and of nothing else"
	local object
	object=$(some_object)
	rule fault "${@:2}" '"verb": "GET"' "\"key\": \"$object\$\""
	reads_in_part
	row_of "$1"
	check
}

# ----------------------------------------------------------------------------------- one round

# One request in a few meets one of these. A read of damaged data is sent again once: never twice in a
# row is by counting, not by chance.
storm_rules=(
	'answer "status": 500, "code": "InternalError"' 'answer "status": 503, "code": "SlowDown"'
	'answer "status": 409, "code": "ConditionalRequestConflict"' 'close "n": 0'
	'close_in_request "n": 0' 'drop_reply "n": 0' 'twice "n": 0' 'twice "second": true'
	'flip_request "n": 0' 'flip_reply "verb": "GET", "p": 1, "every": 50' 'short "n": 0'
	'overlong "n": 0' 'wrong_range "n": 0' 'close_in_reply "n": 0' 'garbage "n": 0' 'behind "n": 2'
)

begin_storm() {
	local i=0 spec
	for spec in "${storm_rules[@]}"; do
		rule "storm$((++i))" "${spec%% *}" '"p": 0.02' "${spec#* }"
	done
}

end_storm() {
	row 'storm' "$(proxy counts | jq '[.rules[].acted] | add')"
	proxy clear
}

storm() {
	local turn
	it 'everything at once, and a kill now and then'
	# With a second there would be time for few tries, on a slow machine for one.
	read_timeout=30s settings 'flush = "remote"'
	for ((turn = 0; turn < 4; turn++)); do
		start_server
		((turn == 0)) || check
		begin_storm
		load --acks 500
		writer load "$state" "$uri" --seed "$RANDOM" --acks "$((50 + RANDOM % 300))" \
			--kill "$server_pid" --most 256 >"$tmp/load" 2>&1 || fail "$(<"$tmp/load")"
		wait "$server_pid" 2>/dev/null || true
		end_storm
	done
	start_server
	check
	begin_anew
	check
	stop_server
}

rows_of_writing() {
	settings 'flush = "remote"'
	start_server
	load
	local put='"verb": "PUT"'
	unnoticed 'error 500' answer "$put" '"status": 500' '"code": "InternalError"' '"first": 3'
	unnoticed 'error 502' answer "$put" '"status": 502' '"code": "BadGateway"' '"first": 2'
	unnoticed 'error 503' answer '"status": 503' '"code": "SlowDown"' '"first": 4' '"every": 2'
	unnoticed 'error 504, 429' answer "$put" '"status": 429' '"code": "TooManyRequests"' '"first": 1'
	unnoticed 'no HTTP' garbage "$put" '"first": 2'
	unnoticed 'reset before' close "$put" '"first": 3'
	unnoticed 'reset in the request' close_in_request "$put" '"first": 3'
	unnoticed 'answer lost' drop_reply "$put" '"first": 3'
	# Who has a name is asked for the fixed part of a header. A read of data must not be damaged here:
	# twice in a row is rightly an error.
	rule lie flip_reply '"verb": "GET"' "\"key\": \"$data\"" '"range": "=0-79$"' '"first": 3'
	unnoticed 'answer lost, and damaged ones to who has it' drop_reply "$put" \
		"\"key\": \"$data\"" '"first": 1'
	row_of 'damaged answers to who has it' lie
	unnoticed 'no answer' hang "$put" '"first": 1'
	unnoticed 'answer lost of a look' drop_reply '"verb": ["HEAD", "GET"]' '"first": 3'
	unnoticed 'conflict 409' answer "$put" '"status": 409' \
		'"code": "ConditionalRequestConflict"' '"first": 3'
	unnoticed 'clock skew' answer '"status": 403' '"code": "RequestTimeTooSkewed"' \
		'"date_s": 600' '"first": 1'
	unnoticed 'damaged request' flip_request "$put" "\"key\": \"$data\"" '"first": 3'
	unnoticed 'delivered twice' twice "$put" '"first": 3'
	unnoticed 'delivered twice, the second answer' twice "$put" '"second": true' '"first": 3'
	unnoticed 'out of order' behind "$put" "\"key\": \"$data\"" '"n": 2' '"every": 3' '"ms": 1500'
	unnoticed 'taken, and nothing there' answer "$put" "\"key\": \"$data\"" '"status": 412' \
		'"code": "PreconditionFailed"' '"first": 1'

	it 'connection refused: nobody notices'
	proxy down
	start_writer load "$state" "$uri" --seed "$RANDOM" --acks 300 --flush --most 256
	retries() { log_says 'the store fails\|trying again\|unavailable'; }
	wait_until 30 retries || fail "it says nothing"
	proxy up
	wait "$load" || fail "$(<"$tmp/load")"
	row 'connection refused' 1

	it 'while objects arrive out of order none counts before those before it'
	rule fault hold '"verb": "PUT"' "\"key\": \"$data\"" '"first": 1'
	proxy reset
	start_writer load "$state" "$uri" --seed "$RANDOM" --depth 32 --may-die --most 256
	wait_acted fault
	stored_behind() { [[ $(proxy get statuses.200) -ge 1 && $(proxy get verbs.PUT) -ge 2 ]]; }
	wait_until 5 stored_behind || fail "nothing was put behind it"
	kill_server
	wait "$load" || fail "$(<"$tmp/load")"
	row_of 'out of order, then dead'
	start_server
	check
	begin_anew
	check
	stop_server
}

rows_of_reading() {
	settings
	start_server
	load --acks 400
	load --acks 400
	begin_anew
	unnoticed_reading 'error 500 of a read' answer '"status": 500' '"code": "InternalError"' '"every": 9'
	unnoticed_reading 'reset in the answer' close_in_reply '"every": 9'
	unnoticed_reading 'truncated answer' short '"every": 5' '"first": 4'
	unnoticed_reading 'overlong answer' overlong '"every": 5' '"first": 4'
	unnoticed_reading 'another range' wrong_range '"every": 5' '"first": 4'
	unnoticed_reading 'flipped bit' flip_reply '"every": 5' '"first": 4'
	unnoticed_reading 'old content' old '"every": 5' '"first": 4'
	unnoticed_reading 'slow answer' trickle '"bytes_s": 100000' '"first": 1'
	unnoticed_reading 'late answer' delay '"ms": 200' '"every": 4'

	an_error_of_its_range 'flipped bit' flip_reply
	an_error_of_its_range 'truncated answer' short
	an_error_of_its_range 'overlong answer' overlong
	an_error_of_its_range 'another range' wrong_range
	an_error_of_its_range 'old content' old
	an_error_of_its_range 'object is gone' answer '"status": 404' '"code": "NoSuchKey"'

	it 'a stale list changes nothing of an open'
	load --acks 100
	kill_server
	rule fault stale '"verb": "LIST"'
	start_server
	check
	load --acks 100
	begin_anew
	check
	admin list --json >"$tmp/list"
	admin inspect -n "$volume" --json >"$tmp/inspect"
	row_of 'stale list'
	stop_server

	it 'a removal that fails is done in the end'
	rule fault answer '"verb": ["POST", "DELETE"]' '"status": 503' '"code": "SlowDown"' '"first": 2'
	delete_at_last
	row_of 'removal fails'
}

rows_of_removal() {
	settings
	start_server
	load
	stop_server
	it 'a removal whose answer is lost is done again'
	rule fault drop_reply '"verb": ["POST", "DELETE"]' '"first": 2'
	delete_at_last
	row_of 'removal repeated'
	it 'what is dead stays dead'
	! admin inspect -n "$volume" --json 2>"$tmp/out" || fail "the volume is still there"
	! s3_direct ls "$s3_directory/volumes/" | grep -q "/$volume\$"
}

rows_of_the_end() {
	it 'half of an object at the end of the chain counts as none'
	settings
	start_server
	load
	kill -s HUP "$server_pid"
	rule fault partial '"verb": "PUT"' "\"key\": \"$data\"" '"first": 1'
	writer load "$state" "$uri" --seed "$RANDOM" --acks 200 --most 256 >"$tmp/load"
	kill -s HUP "$server_pid"
	wait_acted fault
	kill_server
	row_of 'half an object at the end'
	start_server
	check
	load
	begin_anew
	check

	it 'half of an object in the middle is damage, and is named'
	load --acks 300
	stop_server
	local object
	object=$(proxy keys PUT | grep "$data" | tail -3 | head -1)
	proxy halve "$object"
	rm -rf "$cache_dir"
	# Recovery may have to read it, and refuses; or it holds nothing but data, which cannot be read.
	launch_server -n "$volume" -U "$sock"
	wait_until 60 server_says_ready || fail "neither served nor refused"
	if has_ended "$server_pid"; then
		log_says "${object##*/}" || fail "another reason"
	else
		reads_in_part
		kill_server
	fi
	row 'half an object in the middle' 1

	it 'the object of a dead writer that comes late changes nothing'
	# No collection: which object comes next is to be known, below.
	settings 'flush = "remote"' 'gc = "off"'
	start_server
	load
	rule fault hold '"verb": "PUT"' "\"key\": \"$data\"" '"first": 1'
	start_writer load "$state" "$uri" --seed "$RANDOM" --may-die --most 256
	wait_acted fault
	kill_server
	wait "$load" || fail "$(<"$tmp/load")"
	start_server
	check
	load
	row_of 'late object'
	load
	begin_anew
	check

	it "another's object in our place ends writing, not reading"
	object=$(s3_direct ls "$s3_directory/v/" | sed 's/^[0-9]* //' | grep "$data" | sort | tail -1)
	next=${object%.*}.$(printf '%016x' $((16#${object##*.} + 1)))
	s3_direct get "$object" >"$tmp/object"
	s3_direct put "$next" "$tmp/object"
	! nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0); h.flush()' 2>"$tmp/out" ||
		fail "a flush was acknowledged over another's object"
	refuses() { ! nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0)' 2>"$tmp/out"; }
	wait_until 20 refuses || fail "writes go on"
	grep -q 'endpoint shutdown' "$tmp/out" || fail "$(<"$tmp/out")"
	nbdsh -u "$uri" -c 'h.pread(4096, 1 << 20)'
	row 'taken by another' 1
	end_process "$server_pid"
}

# back: the fault is mended, and whoever did it says so.
back() {
	local before
	before=$(grep -c 'the store is back' "$server_log" || true)
	kill -s HUP "$server_pid"
	is_back() { [[ $(grep -c 'the store is back' "$server_log") -gt $before ]]; }
	wait_until 20 is_back || fail "it does not go on"
}

# A person has to do something: nothing is lost, little is asked, and SIGHUP is heard.
rows_for_a_person() {
	local spec trap_dir i
	settings
	start_server
	load
	for spec in 'AccessDenied 403' 'SignatureDoesNotMatch 403' 'InvalidAccessKeyId 403' \
		'NoSuchBucket 404'; do
		it "$spec: writes go on, requests get rare, and it goes on by itself"
		rule fault answer "\"status\": ${spec#* }" "\"code\": \"${spec% *}\""
		writer load "$state" "$uri" --seed "$RANDOM" --acks 150 --most 128 --no-reads >"$tmp/load" ||
			fail "$(<"$tmp/load")"
		wait_acted fault
		denied() { log_says "the store refuses.*${spec% *}"; }
		wait_until 20 denied || fail "nothing is said: $(<"$server_log")"
		nbdsh -u "$uri" -c 'at = h.get_size() - 4096; h.pwrite(b"x" * 4096, at)' \
			-c 'h.flush(); assert h.pread(4096, at) == b"x" * 4096'
		row_of "$spec"
		back
		load --acks 20
	done

	it 'a redirect is not followed'
	proxy_before=$proxy_dir
	start_proxy "$direct"
	trap_dir=$proxy_dir
	local elsewhere=$s3_endpoint
	proxy_dir=$proxy_before
	s3_endpoint=$(<"$proxy_dir/endpoint")
	rule fault answer '"status": 307' '"code": "TemporaryRedirect"' "\"location\": \"$elsewhere/x\""
	writer load "$state" "$uri" --seed "$RANDOM" --acks 150 --most 128 --no-reads >"$tmp/load" ||
		fail "$(<"$tmp/load")"
	wait_acted fault
	row_of 'redirect 307'
	back
	load --acks 20
	begin_anew
	check
	stop_server
	for spec in 'PermanentRedirect 301' 'NoSuchBucket 404' 'AccessDenied 403'; do
		rule fault answer "\"status\": ${spec#* }" "\"code\": \"${spec% *}\"" \
			"\"location\": \"$elsewhere/x\""
		local status=0
		timeout 60 "$bin_dir/lsvd-nbd" -c "$config" -n "$volume" -U "$sock" </dev/null \
			2>"$tmp/refused.log" || status=$?
		[[ $status -eq 1 || $status -eq 2 ]] || fail "an open despite $spec: $status"
		row_of "$spec at open"
	done
	[[ $("$support_dir/s3proxy" "$trap_dir" get requests) -eq 0 ]] || fail "it was followed"

	it 'no server by that name, and another at that place: an open says so'
	# Each takes as long as an open tries; what speaks plain HTTP is asked for TLS.
	sed 's|host = .*|host = "http://no-such-host.invalid"|' "$config" >"$tmp/name.hcl"
	sed 's|host = "http:|host = "https:|' "$config" >"$tmp/tls.hcl"
	local other opens=()
	for other in name tls; do
		chmod 600 "$tmp/$other.hcl"
		timeout 100 "$bin_dir/lsvd-nbd" -c "$tmp/$other.hcl" -n "$volume" -U "$tmp/$other.sock" \
			-p "$tmp/cache-$other" </dev/null 2>"$tmp/$other.log" &
		opens+=("$!" "$other")
	done
	for ((i = 0; i < ${#opens[@]}; i += 2)); do
		status=0
		wait "${opens[i]}" || status=$?
		[[ $status -eq 1 ]] || fail "$status: $(<"$tmp/${opens[i + 1]}.log")"
		grep -q 'not sent\|SSL\|TLS' "$tmp/${opens[i + 1]}.log" ||
			fail "another reason: $(<"$tmp/${opens[i + 1]}.log")"
	done
	row 'no such name' 1
	row 'TLS fails' 1
}

for ((round = 1; round < rounds; round++)); do
	storm
done
storm
rows_of_writing
rows_of_reading
rows_of_removal
rows_of_the_end
rows_for_a_person

it 'the account: every fault was made'
for name in "${names[@]}"; do
	printf '%8d  %s\n' "${made[$name]}" "$name"
	[[ ${made[$name]} -gt 0 ]] || fail "$name never happened"
done
say "${#names[@]} rows"
if [[ -n $json ]]; then
	for name in "${names[@]}"; do
		printf '%s\t%d\n' "$name" "${made[$name]}"
	done | jq -Rn --arg seed "$seed" '{seed: $seed, rows: ([inputs / "\t" |
		{(.[0]): (.[1] | tonumber)}] | add)}' >"$json"
fi
