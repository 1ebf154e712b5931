# SPDX-License-Identifier: BSD-2-Clause
#
# s3.sh - what scripts need for volumes in a bucket; e2e/functions.sh reads it.
#
# LSVD_E2E_STORE says where make_store puts volumes: dir (default), curl, libs3: a bucket of the server
# that the run has started, through that client, under a directory of this script's own. A script run by
# hand starts a server for itself.

support_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
store_kind=${LSVD_E2E_STORE:-dir}
# Signature V2 has no conditional PUT: without it there is no fencing, and that has to be asked for.
unsafe_store=()
[[ $store_kind != libs3 ]] || unsafe_store=(--unsafe-store)

s3() { "$support_dir/s3" "$@"; }

# need_s3 [GATEWAYS]: the server of the run, or one of this script's own; $s3_endpoint, $s3_directory.
need_s3() {
	if [[ -z ${LSVD_TEST_S3_ENDPOINT:-} ]]; then
		local status=0
		defer "$support_dir/radosgw" stop "$tmp/radosgw"
		"$support_dir/radosgw" start "$tmp/radosgw" "${1:-1}" --with $$ \
			>"$tmp/radosgw.log" 2>&1 || status=$?
		[[ $status -ne 77 ]] || skip "Ceph: $(<"$tmp/radosgw.log")"
		[[ $status -eq 0 ]] || fail "$(<"$tmp/radosgw.log")"
		. "$tmp/radosgw/env"
	fi
	s3_endpoint=${s3_endpoint:-$LSVD_TEST_S3_ENDPOINT}
	if [[ -z ${s3_directory:-} ]]; then
		s3_directory=${0##*/}-$$-$RANDOM
		defer s3 rmr "$s3_directory/"
	fi
}

# s3_block [LINE...]: the block of a configuration file.
s3_block() {
	cat <<-CONF
	storage {
		s3 {
			bucket = "$LSVD_TEST_S3_BUCKET"
			region = "$LSVD_TEST_S3_REGION"
			access_key = "$LSVD_TEST_S3_ACCESS_KEY"
			secret_key = '$LSVD_TEST_S3_SECRET_KEY'
			directory = "$s3_directory"
			host = "$s3_endpoint"
			client = "${s3_client:-auto}"
	$(printf '\t\t%s\n' "$@")
		}
	}
	CONF
}

# make_s3_store [LINE...]: a configuration with a bucket and a cache; LINEs go to its top.
make_s3_store() {
	need_s3
	{
		printf '%s\n' "$@"
		printf 'cache_path = "%s"\n' "${cache_dir:-$tmp/cache}"
		s3_block "${s3_lines[@]}"
	} >"$config"
	chmod 600 "$config"
}
s3_lines=()

# start_metadata KEYS-FILE: a metadata service that hands out the keys in the file; $metadata.
start_metadata() {
	rm -f "$tmp/metadata.port"
	"$support_dir/s3metadata" "$tmp/metadata.port" "$1" </dev/null >"$tmp/metadata.log" 2>&1 &
	defer end_process $! KILL
	wait_until 30 test -s "$tmp/metadata.port" || fail "no metadata service: $(<"$tmp/metadata.log")"
	metadata=http://127.0.0.1:$(<"$tmp/metadata.port")
}

# carry_store FILE: the server of a bucket is on the loopback of this machine; its port becomes one of
# the network name space FILE, too.
carry_store() {
	[[ $store_kind != dir ]] || return 0
	/usr/bin/python3 - "$1" "${s3_endpoint##*:}" "$tmp/carried" <<-'PY' &
		import asyncio, ctypes, os, socket, sys
		path, port, ready = sys.argv[1], int(sys.argv[2]), sys.argv[3]
		libc = ctypes.CDLL(None, use_errno=True)
		def enter(fd):
		    if libc.setns(fd, 0x40000000):
		        raise OSError(ctypes.get_errno(), "setns")
		here = os.open("/proc/self/ns/net", os.O_RDONLY)
		enter(os.open(path, os.O_RDONLY))
		listening = socket.create_server(("127.0.0.1", port))
		enter(here)
		async def pump(reader, writer):
		    try:
		        while data := await reader.read(1 << 16):
		            writer.write(data)
		            await writer.drain()
		    except OSError:
		        pass
		    writer.close()
		async def carry(reader, writer):
		    there = await asyncio.open_connection("127.0.0.1", port)
		    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
		async def main():
		    server = await asyncio.start_server(carry, sock=listening)
		    open(ready, "w").close()
		    await server.serve_forever()
		asyncio.run(main())
	PY
	defer end_process $! KILL
	wait_until 30 test -e "$tmp/carried" || fail "the port of the store is not carried"
}

# ----------------------------------------------------------------------------- the proxy

# start_proxy [TO...]: before the first gateway, or before those; it is the endpoint from then on.
start_proxy() {
	need_s3
	local to=() server
	for server in "${@:-$LSVD_TEST_S3_ENDPOINT}"; do
		to+=(--to "${server#http://}")
	done
	proxy_dir=$tmp/proxy-$((++proxy_count))
	mkdir -p "$proxy_dir"
	"$support_dir/s3proxy" serve "$proxy_dir" "${to[@]}" --seed "$seed" "${proxy_args[@]}" \
		</dev/null 2>"$tmp/proxy.log" &
	proxy_pid=$!
	defer end_process "$proxy_pid"
	defer cat "$tmp/proxy.log"
	wait_until 30 test -s "$proxy_dir/endpoint" || fail "no proxy: $(<"$tmp/proxy.log")"
	s3_endpoint=$(<"$proxy_dir/endpoint")
}
proxy_args=()
proxy_count=0

proxy() { "$support_dir/s3proxy" "$proxy_dir" "$@"; }

# rule NAME DO [MEMBER...]: rule slow delay '"ms": 50' '"verb": "PUT"'
rule() {
	local spec="{\"name\": \"$1\", \"do\": \"$2\""
	spec+=$(printf ', %s' "${@:3}")
	[[ $# -gt 2 ]] || spec=${spec%, }
	proxy rule "$spec}"
}

# acted NAME: how often a rule has acted.
acted() { proxy get "rules.$1.acted"; }

# wait_acted NAME [N [SECONDS]]: until it has.
wait_acted() { proxy wait "$1" "${2:-1}" "${3:-60}" || fail "$1 did not happen"; }
