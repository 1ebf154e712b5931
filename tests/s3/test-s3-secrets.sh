#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-secrets.sh - canaries: secret keys with a mark in them, one for each source, go through every
# tool, every failure and both clients; then the marks are searched for in all that was said, in
# arguments of processes, and in core files.
#
# That the search would find them is shown each time: a core file has a mark of another kind, and one
# that was told to hold everything has the secret too. The environment itself is in every core file and
# is not counted; neither is the session token alone, which goes to the server in a header.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-580}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
# A debugger would take all of the shadow that the sanitizer keeps of the whole address space.
[[ -z ${LSVD_SANITIZE:-} ]] || skip "core files of programs under a sanitizer"
need jq nbdsh radosgw-admin openssl gdb python3

mkdir "$tmp/said"
umask 077
radosgw_admin() {
	radosgw-admin -c "$LSVD_TEST_S3_DIR/ceph.conf" -n client.rgw1 --uid=test \
		--key-type=s3 "$@" >"$tmp/radosgw-admin" 2>&1
}

# canary SOURCE: a key of the server's user, with a mark in its secret that nothing else has. It is
# written here in two halves, so that this script and its process are not found.
mark="CAN""ARY"
canary() {
	access=OPEN$1$RANDOM
	secret=$mark$1/$(openssl rand -hex 6)+$1=
	radosgw_admin key create --access-key="$access" --secret-key="$secret"
	defer radosgw_admin key rm --access-key="$access"
}

keys_file() {
	printf '[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$1" "$access" "$secret"
}

# block [LINE...]: a configuration whose s3 block has these lines in place of keys.
block() {
	cat >"$config" <<-CONF
	cache_path = "$tmp/cache"
	segment_size = "256K"
	log_size = "16M"
	flush = "remote"
	storage {
	  s3 {
	    bucket = "${s3_bucket:-$LSVD_TEST_S3_BUCKET}"
	    region = "$LSVD_TEST_S3_REGION"
	    directory = "$s3_directory"
	    host = "$s3_endpoint"
	    client = "$client"
	$(printf '    %s\n' "$@")
	  }
	}
	CONF
}

# In both forms of the log.
server_says_ready() { has_ended "$server_pid" || grep -qE '(: |")serving ' "$server_log"; }

# said NAME COMMAND...: runs it, whatever comes of it, and keeps what it says.
said() {
	local name=$1
	shift
	"$@" >"$tmp/said/$name-$((++said_count)).out" 2>"$tmp/said/$name-$said_count.err" ||
		echo "exit status $?" >>"$tmp/said/$name-$said_count.err"
}
said_count=0
last_said() { cat "$tmp"/said/*-"$said_count".{out,err}; }

holds=$(cd "$(dirname "$0")/../support" && pwd)/holds
no_mark_in() {
	local status=0
	"$holds" "$mark" "$@" >/dev/null || status=$?
	[[ $status -eq 1 ]]
}
has() { "$holds" "$1" "$2" >/dev/null; }

cmdline_kept() { tr '\0' ' ' <"/proc/$1/cmdline" >"$tmp/said/cmdline-$1"; }

# cores PID NAME: what a debugger takes of the running process. A file with everything shows that the
# secret was there to be found.
cores() {
	local ordinary=$tmp/core-$2 whole=$tmp/whole-$2
	gdb -batch -nx -p "$1" -ex 'set use-coredump-filter on' \
		-ex "generate-core-file $ordinary" \
		-ex 'set dump-excluded-mappings on' \
		-ex "generate-core-file $whole" >"$tmp/gdb.log" 2>&1 || true
	[[ -s $ordinary && -s $whole ]] || fail "no core file: $(tail -3 "$tmp/gdb.log")"
	has "$s3_directory" "$ordinary" || fail "$2: the core file does not hold what it should"
	has "$secret" "$whole" || fail "$2: the secret is nowhere, so nothing is shown"
	no_mark_in "$ordinary" || fail "$2: the secret is in a core file"
	rm -f "$ordinary" "$whole"
}

# abort_core NAME: what the kernel writes, where it writes it to a file of that name.
abort_core() {
	local pattern
	pattern=$(</proc/sys/kernel/core_pattern)
	kill -ABRT "$server_pid"
	wait_until 60 has_ended "$server_pid" || fail "it survives SIGABRT"
	wait "$server_pid" 2>/dev/null || true
	if [[ $pattern == */* || $pattern == '|'* ]]; then
		say "core files of the kernel go to $pattern: not looked at"
		return 0
	fi
	local core
	core=$(find . -maxdepth 1 -name 'core*' -size +0 | head -1)
	[[ -n $core ]] || fail "$1: no core file"
	has "$s3_directory" "$core" || fail "$1: the core file does not hold what it should"
	no_mark_in "$core" || fail "$1: the secret is in the kernel's core file"
	rm -f "$core"
}

# session NAME: a volume from its making to its end, with the keys that $config says.
session() {
	local volume=$1
	uri="nbd+unix:///$volume?socket=$sock"
	unsafe_store=()
	[[ $client != libs3 ]] || unsafe_store=(--unsafe-store)
	said init admin init -n "$volume" -S 64M
	has 'exit status' "$tmp/said/init-$said_count.err" && fail "$(last_said)"
	ulimit -S -c unlimited
	start_server --log-level debug --log-format "$2"
	ulimit -S -c 0
	cmdline_kept "$server_pid"
	nbdsh -u "$uri" -c 'h.pwrite(b"x" * (1 << 20), 0)' -c 'h.flush()' \
		-c 'assert h.pread(512, 4096) == b"x" * 512'
	said list admin list --json
	said inspect admin inspect -n "$volume" --json
	said inspect-text admin inspect -n "$volume"
	kill -HUP "$server_pid"
	nbdsh -u "$uri" -c 'h.pwrite(b"y" * 65536, 1 << 22)' -c 'h.flush()'
}
end_session() {
	cp "$server_log" "$tmp/said/server-$1.log"
	said delete admin delete -n "$1" --yes
}

need_s3 # which may set what is taken away here
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export HOME=$tmp/home
mkdir -p "$HOME/.aws"
clients=(curl)
[[ ! -e $bin_dir/../lsvd/store_libs3.so ]] || clients+=(libs3)

for client in "${clients[@]}"; do
	it "$client: keys in the configuration"
	canary "config$client"
	block "access_key = \"$access\"" "secret_key = '$secret'"
	session "config-$client" text
	cores "$server_pid" "config-$client"
	abort_core "config-$client"
	end_session "config-$client"

	it "$client: keys in a file of their own"
	canary "file$client"
	keys_file disk >"$tmp/keys"
	block "credentials_file = \"$tmp/keys\"" 'profile = "disk"'
	session "file-$client" json
	# Another key, in the same process: neither of the two is to be found.
	canary "second$client"
	keys_file disk >"$tmp/keys"
	kill -HUP "$server_pid"
	wait_until 30 grep -q 'new access keys' "$server_log" || fail "no new keys"
	nbdsh -u "$uri" -c 'h.pwrite(b"z" * 65536, 1 << 23)' -c 'h.flush()'
	cores "$server_pid" "file-$client"
	abort_core "file-$client"
	end_session "file-$client"
done

client=curl
it 'keys in the file of the home directory'
canary home
keys_file default >"$HOME/.aws/credentials"
block
session home text
cores "$server_pid" home
stop_server
end_session home
rm "$HOME/.aws/credentials"

it 'keys in the environment'
canary environment
export AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret
block
session environment text
stop_server
end_session environment
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY

it 'keys of the metadata service'
canary metadata
printf '%s\n%s\n' "$access" "$secret" >"$tmp/metadata.keys"
start_metadata "$tmp/metadata.keys"
block "metadata = \"$metadata\""
session metadata text
cores "$server_pid" metadata
abort_core metadata
end_session metadata

it 'lsvd-admin, in the middle of a request'
canary admin
direct=$s3_endpoint
start_proxy
block "access_key = \"$access\"" "secret_key = '$secret'"
rule standing hang '"verb": "LIST"'
"$bin_dir/lsvd-admin" list -c "$config" >"$tmp/said/hang.out" 2>"$tmp/said/hang.err" &
hanging=$!
defer end_process "$hanging" KILL
wait_acted standing
cmdline_kept "$hanging"
cores "$hanging" admin
end_process "$hanging" KILL
s3_endpoint=$direct

it 'failures of every kind'
canary failures
fails() {
	try_all "$1"
	[[ $(cat "$tmp/said/$1"-*.err | grep -c 'exit status') -ge 3 ]] || fail "$1 did not fail"
}
try_all() {
	said "$1" admin list
	said "$1" admin init -n other -S 1G
	said "$1" timeout 30 "$bin_dir/lsvd-nbd" -c "$config" -n nothing -U "$tmp/never" \
		--log-level debug
}
bad_access=$access
block "access_key = \"$access\"" "secret_key = '${secret}x'"
fails signature
block "access_key = \"$secret\"" "secret_key = \"$secret\""
fails access
block "access_key = \"$access\"" "secret_key = '$secret'" "session_token = '$secret'"
try_all token # a server that knows no such tokens may take no notice
s3_bucket=no-such-bucket
block "access_key = \"$access\"" "secret_key = '$secret'"
fails bucket
s3_bucket=
for line in "secret_key = $secret" "secret_key = \"$secret" "secret_key = '$secret' '$secret'" \
	"secret_key = \"$secret\${x}\"" "secret_kye = '$secret'"; do
	block "access_key = \"$access\"" "$line"
	fails config
done
block "access_key = \"$access\"" "secret_key = '$secret'" "secret_key = '$secret'"
fails twice
keys_file default >"$tmp/keys"
block "credentials_file = \"$tmp/keys\"" "profile = \"other\""
fails profile
echo "${secret%=}" >>"$tmp/keys"
block "credentials_file = \"$tmp/keys\""
fails line
keys_file default >"$tmp/keys"
chmod 644 "$tmp/keys"
fails mode
cp "$config" "$tmp/good"
AWS_SECRET_ACCESS_KEY=$secret
export AWS_SECRET_ACCESS_KEY
block
fails half
unset AWS_SECRET_ACCESS_KEY
printf 'cache_path = "%s"\nstorage { file_path = "%s" }\n' "$tmp/cache" "$tmp/$mark" >"$tmp/dir.conf"

it 'nothing secret was said anywhere, nor kept'
no_mark_in "$tmp/cache" || fail "a secret is in the cache: $("$holds" "$mark" "$tmp/cache")"
[[ $(find "$tmp/said" -type f -size +0 | wc -l) -gt 40 ]] || fail "little was said: $(ls "$tmp/said")"
grep -rlaqF -- "$bad_access" "$tmp/said" || say "not even access keys are said"
no_mark_in "$tmp/said" || fail "$(grep -raF -- "$mark" "$tmp/said" | head -5)"
has 'mode is 0644' <(cat "$tmp"/said/mode-*) || fail "the failures are not those that were meant"
has 'SignatureDoesNotMatch' <(cat "$tmp"/said/signature-*) || fail "no bad signature: $(cat "$tmp"/said/signature-*)"
