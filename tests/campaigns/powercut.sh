#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# powercut.sh - the local disk forgets what was not flushed, again and again: -n CUTS [--json FILE]
set -euo pipefail
export LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-86400}
exec bash "$(dirname "$0")/../e2e/test-e2e-powercut.sh" "$@"
