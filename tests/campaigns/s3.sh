#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# s3.sh - everything that concerns buckets, in its long form: [-n ROUNDS] [--json DIRECTORY] [PART...]
#
# The whole end-to-end suite with both clients, and all that is about buckets alone: ROUNDS (50) rounds of
# two writers, of dying gateways, of kills and of the storm of faults; an outage of 90 s. PARTs (kill, fs,
# s3-faults …) are run alone. Ends with a line for each part and fails if one failed.
#
# Fencing needs conditional writes: what is about two hosts, or about whose a cache is, runs with curl
# alone, as does e2e-log, which wants a server that has nothing to say: of a store without them it has.
# e2e-offline takes a directory away, whatever it is told, and is not run.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
rounds=50 json=
wanted=()
usage() {
	echo "usage: tests/campaign s3 [-n ROUNDS] [--json DIRECTORY] [PART...]" >&2
	exit 2
}
while [ $# -gt 0 ]; do
	case $1 in
	-n) rounds=${2:?}; shift 2 ;;
	--json) json=${2:?}; shift 2 ;;
	-*) usage ;;
	*) wanted+=("$1"); shift ;;
	esac
done
[ -z "$json" ] || mkdir -p "$json"
export LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-86400}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-campaign.XXXXXX")
trap '"$here/support/radosgw" stop "$tmp/radosgw"; rm -rf "$tmp"' EXIT
"$here/support/radosgw" start "$tmp/radosgw" 2 --with $$ >"$tmp/out"
failed=0
lines=()

is_wanted() {
	local part
	[ ${#wanted[@]} -gt 0 ] || return 0
	for part in "${wanted[@]}"; do
		[ "$part" != "$1" ] || return 0
	done
	return 1
}

# part NAME CLIENT COMMAND...
part() {
	local name=$1 begun=$SECONDS status=0
	is_wanted "$name" || return 0
	echo "--- $name ($2)"
	LSVD_E2E_STORE=$2 LSVD_TEST_CLIENT=$2 "$here/support/radosgw" run "$tmp/radosgw" "${@:3}" ||
		status=$?
	case $status in
	0) lines+=("passed   $name ($2), $((SECONDS - begun)) s") ;;
	77) lines+=("not run  $name ($2)") ;;
	*) lines+=("FAILED   $name ($2), $((SECONDS - begun)) s"); failed=1 ;;
	esac
}

# script FOLDER NAME CLIENT: with what its long form takes.
script() {
	local arguments=() report=()
	[ -z "$json" ] || report=(--json "$json/$2-$3.json")
	case $1-$2 in
	s3-faults | s3-gateways | e2e-kill | e2e-two-writers)
		arguments=(-n "$rounds" "${report[@]}") ;;
	s3-outage) arguments=(-s 90 "${report[@]}") ;;
	e2e-powercut) arguments=(-n "$((rounds / 10 + 2))") ;;
	esac
	# What a script mounts is nobody else's.
	part "$1-$2" "$3" unshare -m bash "$here/$1/test-$1-$2.sh" "${arguments[@]}"
}

clients_of() {
	case $1 in
	s3-rotation) echo curl libs3 ;;
	s3-* | e2e-two-writers | e2e-lost-cache | e2e-log) echo curl ;;
	e2e-offline) ;;
	*) echo curl libs3 ;;
	esac
}

for client in curl libs3; do
	part client "$client" "$LSVD_BUILD_DIR/tests/bin/test_s3_client"
done
for folder in s3 e2e; do
	for file in "$here/$folder/test-$folder"-*.sh; do
		name=$(basename "$file" .sh)
		name=${name#"test-$folder-"}
		for client in $(clients_of "$folder-$name"); do
			script "$folder" "$name" "$client"
		done
	done
done
printf '%s\n' "${lines[@]}"
passed=$(printf '%s\n' "${lines[@]}" | grep -c ^passed || true)
echo "$passed of ${#lines[@]} parts passed, $SECONDS s"
exit "$failed"
