#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# gc.sh - a volume of 4 GiB written over 24 (-n) times under collection; space, memory, latency, a verified
# end: -n OVERWRITES [-s MIB] [--csv FILE]
set -euo pipefail
export LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-86400}
exec bash "$(dirname "$0")/../e2e/test-e2e-gc.sh" -n 24 -s 4096 --latency "$@"
