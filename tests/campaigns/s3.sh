#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# s3.sh - everything that concerns buckets, in its long form: [-n ROUNDS] [--json DIRECTORY]
#
# The whole end-to-end suite with both clients; ROUNDS (50) rounds of two writers, of dying gateways and
# of the storm of faults; an outage of 90 s. Ends with a line for each part and fails if one failed.
# Fencing needs conditional writes, so what is about two hosts runs with curl alone.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
rounds=50 json=
while [ $# -gt 0 ]; do
	case $1 in
	-n) rounds=$2; shift 2 ;;
	--json) json=$2; shift 2 ;;
	*) echo "usage: tests/campaign s3 [-n ROUNDS] [--json DIRECTORY]" >&2; exit 2 ;;
	esac
done
[ -z "$json" ] || mkdir -p "$json"
export LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-86400}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-campaign.XXXXXX")
trap '"$here/support/radosgw" stop "$tmp/radosgw"; rm -rf "$tmp"' EXIT
"$here/support/radosgw" start "$tmp/radosgw" 2 --with $$ >"$tmp/out"
failed=0
lines=()

# part NAME STORE SCRIPT [ARGUMENT...]
part() {
	local name=$1 begun=$SECONDS status=0 report=()
	[ -z "$json" ] || case $3 in *faults* | *gateways* | *outage* | *kill* | *two-writers*)
		report=(--json "$json/$name-$2.json") ;;
	esac
	echo "--- $name ($2)"
	LSVD_E2E_STORE=$2 "$here/support/radosgw" run "$tmp/radosgw" \
		unshare -m bash "$here/$3" "${@:4}" "${report[@]}" || status=$?
	case $status in
	0) lines+=("passed   $name ($2), $((SECONDS - begun)) s") ;;
	77) lines+=("not run  $name ($2)") ;;
	*) lines+=("FAILED   $name ($2), $((SECONDS - begun)) s"); failed=1 ;;
	esac
}

part faults curl s3/test-s3-faults.sh -n "$rounds"
part gateways curl s3/test-s3-gateways.sh -n "$rounds"
part outage curl s3/test-s3-outage.sh -s 90
part idle curl s3/test-s3-idle.sh
part two-writers curl e2e/test-e2e-two-writers.sh -n "$rounds"
part lost-cache curl e2e/test-e2e-lost-cache.sh
for store in curl libs3; do
	part kill "$store" e2e/test-e2e-kill.sh -n "$rounds"
	for name in fio fs libnbd multi qemu; do
		part "$name" "$store" "e2e/test-e2e-$name.sh"
	done
done
part kernel curl e2e/test-e2e-kernel.sh
printf '%s\n' "${lines[@]}"
exit "$failed"
