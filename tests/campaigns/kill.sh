#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# kill.sh - SIGKILL of the server under a verified load: -n KILLS [--json FILE]
set -euo pipefail
export LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-86400}
exec bash "$(dirname "$0")/../e2e/test-e2e-kill.sh" "$@"
