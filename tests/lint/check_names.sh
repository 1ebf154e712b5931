#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_names.sh - a file name of lib/, tools/ and tests/unit/ says which file is meant, and every
# source says in its first lines what it is for and under which licence.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
faults=0

twice=$(find lib tools -name '*.[ch]' ! -name main.c -printf '%f\n' | sort | uniq -d)
if [ -n "$twice" ]; then
	printf 'more than one file of this name: %s\n' $twice
	faults=1
fi

while IFS= read -r file; do
	if ! grep -q 'SPDX-License-Identifier: BSD-2-Clause' <<<"$(head -3 "$file")"; then
		echo "$file: no SPDX line at its top"
		faults=1
	fi
done < <(find include lib tools tests docs/examples -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \
	-o -name CMakeLists.txt | sort)

while IFS= read -r file; do
	if ! grep -qF "$(basename "$file") - " <<<"$(head -4 "$file")"; then
		echo "$file: its top comment does not begin with '$(basename "$file") - what it is for'"
		faults=1
	fi
done < <(find include lib -name '*.[ch]' | sort)
[ "$faults" = 0 ] && echo "names are unique, tops are in place"
exit "$faults"
