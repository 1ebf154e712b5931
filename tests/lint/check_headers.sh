#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_headers.sh - each inner header compiles alone, so that the order of includes never matters.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
faults=0
while IFS= read -r header; do
	printf '#include "%s"\n' "${header#lib/}" |
		${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-function -Werror \
			-Iinclude -Ilib -fsyntax-only -x c - || {
		echo "$header does not compile alone"
		faults=1
	}
done < <(find lib -name '*.h' | sort)
[ "$faults" = 0 ] && echo "every header stands alone"
exit "$faults"
