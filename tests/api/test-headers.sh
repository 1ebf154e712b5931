#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-headers.sh - each public header compiles alone, as strict C99, as C11, and as C++11 and later,
# with the warnings that programs turn on; and an options macro is an initializer in both languages.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strict=(-pedantic-errors -Wall -Wextra -Wconversion -Wundef -Werror -fsyntax-only -Iinclude)
faults=0

# compile COMPILER STANDARD FILE
compile() {
	"$1" "-std=$2" "${strict[@]}" "$3" || { echo "$3: not accepted by $1 as $2"; faults=1; }
}
for path in include/lsvd/*.h; do
	header=${path#include/}
	name=$(basename "$header" .h)
	# Twice: the guard has to hold.
	printf '#include <%s>\n#include <%s>\ntypedef int %s_alone;\n' "$header" "$header" "$name" \
		>"$work/$name.c"
	cp "$work/$name.c" "$work/$name.cc"
	compile "${CC:-cc}" c99 "$work/$name.c"
	compile "${CC:-cc}" c11 "$work/$name.c"
	compile c++ c++11 "$work/$name.cc"
	compile c++ c++17 "$work/$name.cc"
done

grep -ho '^#define LSVD_[A-Z_]*_INIT\b' include/lsvd/*.h | awk '{ print $2 }' | sort -u | while read -r macro; do
	type=lsvd_$(echo "${macro#LSVD_}" | tr A-Z a-z)
	echo "struct ${type%_init} ${type}_of = $macro;"
done >"$work/init.body"
[ -s "$work/init.body" ] || { echo "no option macro found"; faults=1; }
{ echo '#include <lsvd/lsvd.h>'; sed 's/^/extern /; s/ =.*/;/' "$work/init.body"; cat "$work/init.body"; } \
	>"$work/init.c"
compile "${CC:-cc}" c99 "$work/init.c"
cp "$work/init.c" "$work/init.cc"
# C++11 cannot name the field that a macro sets: what it leaves out is 0, and that is the point.
c++ -std=c++11 "${strict[@]}" -Wno-missing-field-initializers "$work/init.cc" || faults=1
[ "$faults" = 0 ] && echo "all headers, alone, C99 to C++17"
exit "$faults"
