#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# snapshots.sh - so many snapshots made, and deleted by chance, time and memory told: -n SNAPSHOTS
set -euo pipefail
many=10000
[ "${1:-}" = -n ] && many=$2
build=${LSVD_BUILD_DIR:-$(cd "$(dirname "$0")/../.." && pwd)/build}
export LSVD_SNAPSHOTS=$many CK_RUN_CASE=many
exec "$build/tests/bin/test_volume_snapshot"
