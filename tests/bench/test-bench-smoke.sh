#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=900
#
# test-bench-smoke.sh - every measurement still runs and gives every figure; their size is no matter.
set -euo pipefail
cd "$(dirname "$0")"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
/usr/bin/python3 ./run --quick --dir "$tmp" --json "$tmp/bench.json"
bin=${LSVD_BUILD_DIR:-../../build}/tests/bin
"$bin/bench_large" --quick --json --dir "$tmp" | jq -e 'length > 30'
jq -e '(.rows | length) > 20 and ([.rows[] | .item] | unique |
	contains(["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N11", "N12"]))' "$tmp/bench.json"
