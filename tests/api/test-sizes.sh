#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-sizes.sh - the structs of the interface have the sizes that programs already built know; and
# every struct that begins with its size is among them.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
faults=0
"${CC:-cc}" -std=c11 -Wall -Werror -Iinclude -fsyntax-only tests/api/sizes.c || faults=1
structs=$(grep -h -A1 '^struct lsvd_[a-z_]* {' include/lsvd/*.h | grep -B1 'uint32_t size;' |
	sed -n 's/^struct \(lsvd_[a-z_]*\) {/\1/p')
for name in $structs; do
	grep -q "^SIZE($name, " tests/api/sizes.c || { echo "sizes.c does not know $name"; faults=1; }
done
[ "$faults" = 0 ] && echo "$(echo "$structs" | wc -w) structs as they were"
exit "$faults"
