#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=240 s3
#
# test-s3-tls.sh - https with an authority of one's own: who is believed, and who is not and why.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-460}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
need openssl nbdsh jq

# authority NAME: NAME.pem and NAME.key.
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>openssl.log
}
# certificate NAME AUTHORITY SAN [FROM TO]: NAME.pem, with the key in it; times as YYYYMMDDHHMMSSZ.
certificate() {
	mkdir -p "ca-$1"
	: >"ca-$1/index"
	cat >"ca-$1/conf" <<-CONF
	[ca]
	default_ca = here
	[here]
	database = ca-$1/index
	new_certs_dir = ca-$1
	rand_serial = yes
	default_md = sha256
	policy = any
	x509_extensions = names
	[any]
	commonName = supplied
	[names]
	subjectAltName = $3
	CONF
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
		-keyout "ca-$1/key" -out "ca-$1/request" 2>openssl.log
	openssl ca -batch -notext -config "ca-$1/conf" -cert "$2.pem" -keyfile "$2.key" \
		-startdate "${4:-20200101000000Z}" -enddate "${5:-20400101000000Z}" \
		-in "ca-$1/request" -out "ca-$1/pem" 2>openssl.log || fail "$(<openssl.log)"
	cat "ca-$1/key" "ca-$1/pem" >"$1.pem"
}

# config_with [LINE...]: https to the proxy, with these lines in the block.
config_with() {
	s3_lines=("$@")
	make_store 'segment_size = "256K"' 'flush = "remote"'
}

# will_refuse SENTENCE STATUS WORDS [COMMAND...]: what $config says is asked for, beside the others, since
# each tries for some seconds; verdicts sees to what came of it.
will_refuse() {
	local n=${#cases[@]}
	local command=("$bin_dir/lsvd-admin" list)
	[[ $# -le 3 ]] || command=("${@:4}")
	cp "$config" "$n.hcl"
	timeout 100 "${command[@]}" -c "$n.hcl" >"$n.out" 2>"$n.err" </dev/null &
	cases+=("$!" "$1" "$2" "$3")
}
verdicts() {
	local n status
	for ((n = 0; n < ${#cases[@]}; n += 4)); do
		it "${cases[n + 1]}"
		status=0
		wait "${cases[n]}" || status=$?
		[[ $status -eq ${cases[n + 2]} ]] || fail "status $status: $(<"$n.err")"
		grep -qiE -- "${cases[n + 3]}" "$n.err" || fail "expected '${cases[n + 3]}': $(<"$n.err")"
	done
	cases=()
}
cases=()
# proxy_with CERTIFICATE: another one, from now on where configurations lead.
proxy_with() {
	proxy_args=(--cert "$tmp/$1.pem")
	start_proxy "$LSVD_TEST_S3_ENDPOINT"
	s3_endpoint=https://${s3_endpoint#*://}
}

authority ours
authority theirs
certificate good ours DNS:localhost,IP:127.0.0.1
certificate elsewhere ours DNS:s3.example.com
certificate theirs-good theirs DNS:localhost,IP:127.0.0.1
certificate expired ours DNS:localhost,IP:127.0.0.1 20200101000000Z 20210101000000Z
certificate early ours DNS:localhost,IP:127.0.0.1 20390101000000Z 20400101000000Z
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout self.key -out self.crt 2>openssl.log
cat self.key self.crt >self.pem

store_kind=curl
proxy_args=(--cert "$tmp/good.pem")
start_proxy
[[ $s3_endpoint == https://* ]] || s3_endpoint=https://${s3_endpoint#*://}
by_address=$s3_endpoint
by_name=https://localhost:${s3_endpoint##*:}

it 'a server whose certificate is by our authority and for its name is believed'
config_with "ca_file = \"$tmp/ours.pem\""
make_volume 16M
s3_endpoint=$by_name
config_with "ca_file = \"$tmp/ours.pem\""
start_server
nbdsh -u "$uri" -c 'h.pwrite(b"x" * 65536, 0)' -c 'h.flush()' -c 'assert h.pread(512, 0) == b"x" * 512'

it 'a certificate that expires under a server: requests wait until there is a good one'
proxy cert "$tmp/expired.pem"
nbdsh -u "$uri" -c 'h.pwrite(b"y" * 65536, 0)' -c 'h.flush()' >flushed 2>&1 &
flush=$!
defer end_process "$flush" KILL
wait_until 60 grep -q 'warn: .*the store' "$server_log" || fail "nobody notices"
! has_ended "$flush" || fail "a flush ended though nothing could be stored: $(<flushed)"
proxy cert "$tmp/good.pem"
wait "$flush" || fail "$(<flushed)"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

proxy_with theirs-good
config_with "ca_file = \"$tmp/ours.pem\""
unknown='by no authority that is known here'
will_refuse 'another authority is not believed' 1 "$unknown"
will_refuse 'nor is it by a server of ours' 1 "$unknown" "$bin_dir/lsvd-nbd" -n "$volume" -U "$tmp/never"
proxy_with self
config_with "ca_file = \"$tmp/ours.pem\""
will_refuse 'neither is a certificate signed by itself' 1 "$unknown"
proxy_with elsewhere
config_with "ca_file = \"$tmp/ours.pem\""
will_refuse 'nor one for another name' 1 'does not match target host name'
proxy_with expired
config_with "ca_file = \"$tmp/ours.pem\""
will_refuse 'nor one that has expired' 1 'certificate has expired'
proxy_with early
config_with "ca_file = \"$tmp/ours.pem\""
will_refuse 'nor one of the future' 1 'certificate is not valid yet'

s3_endpoint=$by_name
config_with
will_refuse 'without ca_file the system decides, and it does not know ours' 1 "$unknown"
config_with "ca_file = \"$tmp/theirs.pem\""
will_refuse 'a file of other authorities does not know it either' 1 "$unknown"
config_with "ca_file = \"$tmp/nothing.pem\""
will_refuse 'a file of authorities that is not there is named' 1 'nothing.pem'
echo 'no certificate' >none.pem
config_with "ca_file = \"$tmp/none.pem\""
will_refuse 'so is one that has none' 1 'certificate|none.pem'

s3_endpoint=http://${by_address#https://}
config_with
will_refuse 'http to a server that speaks https is an error' 1 'no whole answer'
s3_endpoint=https://${LSVD_TEST_S3_ENDPOINT#http://}
config_with "ca_file = \"$tmp/ours.pem\""
will_refuse 'and so is the other way' 1 'TLS|SSL|certificate|handshake'

if [[ -e $bin_dir/../lsvd/store_libs3.so ]]; then
	s3_endpoint=$by_address
	store_kind=libs3
	config_with "ca_file = \"$tmp/ours.pem\""
	will_refuse 'libs3 with an authority of our own is refused: it cannot be told' 2 \
		'client = "libs3".*knows the certificate authorities of the system only'
	config_with
	will_refuse 'libs3 verifies by the authorities of the system' 1 "$unknown"
fi
verdicts
