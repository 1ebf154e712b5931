#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-kv.sh - the key-value store of the examples keeps what it has committed, through SIGKILL and
# garbage collection, and gives space back.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
exec python3 "$(dirname "$0")/kv.py" "$LSVD_BUILD_DIR/tests/bin/example_kv" "$dir"
