#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# mutants.sh - plants known mistakes one at a time; the simulator must find each: [-n RUNS] [NUMBER...]
set -euo pipefail
if [ "${1:-}" = -n ]; then
	export LSVD_SIM_RUNS=$2
	shift 2
fi
exec python3 "$LSVD_SOURCE_DIR/tests/sim/mutants.py" "$@"
