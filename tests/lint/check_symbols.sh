#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_symbols.sh - what liblsvd.so exports, what lib/lsvd.map lists and what the public headers
# declare are one and the same; what libglsvd.a shares with its host program begins with lsvd_.
set -euo pipefail
source=${LSVD_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${LSVD_BUILD_DIR:-$source/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^[[:space:]]*\(lsvd_[a-z0-9_]*\);.*/\1/p' "$source/lib/lsvd.map" | sort >"$work/map"
nm -D --defined-only "$build/liblsvd.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort >"$work/library"
cat "$source"/include/lsvd/*.h | python3 -c '
import re, sys
text = re.sub(r"/\*.*?\*/", "", sys.stdin.read(), flags=re.S)
text = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
text = re.sub(r"LSVD_PRINTF\([^)]*\)", "", text)
for declaration in re.findall(r"LSVD_API\b(.*?);", text, flags=re.S):
    print(re.search(r"(\w+)\s*\(", declaration).group(1))
' | sort >"$work/headers"

faults=0
same() {
	if ! diff "$work/$1" "$work/$2" >"$work/diff"; then
		echo "only in $1 (<) or only in $2 (>):"
		grep '^[<>]' "$work/diff"
		faults=1
	fi
}
same headers map
same map library

nm --defined-only --extern-only "$build/libglsvd.a" 2>/dev/null | awk 'NF == 3 { print $3 }' |
	grep -v '^lsvd_' >"$work/stray" || true
if [ -s "$work/stray" ]; then
	echo "global in libglsvd.a without the prefix lsvd_:"
	cat "$work/stray"
	faults=1
fi
[ "$faults" = 0 ] && echo "$(wc -l <"$work/map") symbols, the same everywhere"
exit "$faults"
