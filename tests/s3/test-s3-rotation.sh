#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=240 s3
#
# test-s3-rotation.sh - access keys are exchanged under a verified load, and no client notices.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-460}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
need jq nbdsh radosgw-admin openssl

# add_key NAME: one more key of the same user, as $access and $secret.
add_key() {
	access=ROTATION$1$RANDOM
	secret=$(openssl rand -base64 30)
	radosgw_admin key create --access-key="$access" --secret-key="$secret"
	defer radosgw_admin key rm --access-key="$access"
}
# remove_key KEY: gateways may believe for a moment that it is still there.
remove_key() { radosgw_admin key rm --access-key="$1"; }
radosgw_admin() {
	radosgw-admin -c "$LSVD_TEST_S3_DIR/ceph.conf" -n client.rgw1 --uid=test \
		--key-type=s3 "$@" >"$tmp/radosgw-admin" 2>&1
}
refused() {
	! LSVD_TEST_S3_ACCESS_KEY=$1 LSVD_TEST_S3_SECRET_KEY=$2 s3 ls "$s3_directory/" 2>/dev/null
}
# write_keys FILE: in one step, as somebody should who exchanges them.
write_keys() {
	(umask 077 && printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
		"$access" "$secret" >"$1.new")
	mv "$1.new" "$1"
}
new_keys_taken() { [[ $(grep -c 'new access keys' "$server_log") -ge $1 ]]; }
denied() { grep -q '403' "$server_log"; }
acked() { [[ $(issued "$state") -ge $1 ]]; }

# begin_load [ARG...]: runs until it is told to stop; every flush in it waits for the store.
begin_load() {
	local from=0
	[[ -e $state ]] || writer init "$state" --size "$size" --seed "$seed"
	from=$(issued "$state")
	start_writer load "$state" "$uri" --seed "$RANDOM" --depth 16 --most 64 --flush "$@"
	wait_until 60 acked $((from + 200)) || fail "the load does not begin: $(<"$tmp/load")"
}
wait_for_more() {
	local from
	from=$(issued "$state")
	wait_until 60 acked $((from + 300)) || fail "the load stands still: $(<"$tmp/load")"
}
end_load() {
	! has_ended "$load" || fail "a client noticed: $(<"$tmp/load")"
	kill -TERM "$load"
	wait "$load" || fail "a client noticed: $(<"$tmp/load")"
	writer check "$state" "$uri" >"$tmp/check" 2>&1 || fail "$(<"$tmp/check")"
}

[[ $store_kind == libs3 ]] || store_kind=curl
size=$((32 << 20))
state=$ram/state
need_s3
add_key A
write_keys "$tmp/keys"

# The block without keys of its own, but with the file.
make_store 'segment_size = "256K"' 'flush = "remote"' 'log_size = "32M"'
grep -v -e access_key -e secret_key "$config" |
	sed "s|client = .*|&\n\t\tcredentials_file = \"$tmp/keys\"|" >"$config.new"
chmod 600 "$config.new"
mv "$config.new" "$config"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export HOME=$tmp

it 'a file of keys that others can read is refused by every tool'
chmod 644 "$tmp/keys"
status=0
admin list >"$tmp/out" 2>"$tmp/err" || status=$?
[[ $status -eq 2 || $status -eq 1 ]] || fail "status $status"
grep -qF "$tmp/keys: mode is 0644" "$tmp/err" || fail "$(<"$tmp/err")"
chmod 600 "$tmp/keys"
make_volume "$size"
start_server --log-level debug

it 'a new key in the file is taken on SIGHUP, with the old one still good'
begin_load
old_access=$access
old_secret=$secret
add_key B
write_keys "$tmp/keys"
kill -HUP "$server_pid"
wait_until 30 new_keys_taken 1 || fail "no new keys after SIGHUP"
remove_key "$old_access"
wait_until 30 refused "$old_access" "$old_secret" || fail "the old key is still good"
wait_for_more
! denied || fail "a request was made with the old key: $(grep 403 "$server_log" | head -3)"
end_load

it 'a new key in the file is taken by itself when the old one is refused'
begin_load
old_access=$access
add_key C
write_keys "$tmp/keys"
remove_key "$old_access"
wait_until 60 new_keys_taken 2 || fail "no new keys after refusals"
wait_for_more
end_load

# Reads that are denied fail; writes and flushes wait.
it 'a key that is gone before there is another is waited for'
begin_load --no-reads
remove_key "$access"
wait_until 60 denied || fail "no request is refused"
add_key D
write_keys "$tmp/keys"
wait_until 90 new_keys_taken 3 || fail "no new keys"
wait_for_more
end_load

it 'a file that became bad is said, and the keys in use go on'
begin_load
chmod 640 "$tmp/keys"
kill -HUP "$server_pid"
wait_until 30 grep -q 'mode is 0640' "$server_log" || fail "nothing is said of the mode"
wait_for_more
end_load
chmod 600 "$tmp/keys"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

[[ $store_kind == curl ]] || exit 0

# begin_metadata: the same volume, with the keys that the service has now.
begin_metadata() {
	keys_of_service
	start_metadata "$tmp/served"
	sed "s|credentials_file = .*|metadata = \"$metadata\"|" "$config" >"$config.new"
	chmod 600 "$config.new"
	mv "$config.new" "$config"
	start_server --log-level debug
}
# keys_of_service [SECONDS]: what it says from now on.
keys_of_service() {
	printf '%s\n%s\n%s\n' "$access" "$secret" "${1:-3600}" >"$tmp/served.new"
	mv "$tmp/served.new" "$tmp/served"
}

it 'keys of the metadata service are exchanged on SIGHUP'
add_key E
begin_metadata
begin_load
old_access=$access
old_secret=$secret
add_key F
keys_of_service
kill -HUP "$server_pid"
wait_until 30 new_keys_taken 1 || fail "no new keys after SIGHUP"
remove_key "$old_access"
wait_until 30 refused "$old_access" "$old_secret" || fail "the old key is still good"
wait_for_more
! denied || fail "a request was made with the old key: $(grep 403 "$server_log" | head -3)"
end_load

it 'keys of the metadata service that are refused are asked for again'
begin_load --no-reads
old_access=$access
rm "$tmp/served"
remove_key "$old_access"
wait_until 60 denied || fail "no request is refused"
add_key G
keys_of_service 200
wait_until 90 new_keys_taken 2 || fail "no new keys after refusals"
wait_for_more
end_load

# Those of now end within five minutes, so each use of them may ask for others.
it 'keys of the metadata service that are about to end are replaced by themselves'
begin_load
old_access=$access
add_key H
keys_of_service
wait_until 60 new_keys_taken 3 || fail "no new keys before the old ones end"
remove_key "$old_access"
wait_for_more
end_load
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
