#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# run-example.sh PROGRAM - runs an example in an empty directory, which is also its argument. It must
# end with 0 and say something.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
said=$("$1" "$dir" </dev/null)
printf '%s\n' "$said"
[ -n "$said" ]
