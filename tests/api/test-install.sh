#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-install.sh - an installed tree is whole, works where it was moved to, and says nothing of where
# it was built.
set -euo pipefail
. "$(dirname "$0")/installed.sh"
unset LD_LIBRARY_PATH
cd "$work/usr"
faults=0
fault() { echo "$*"; faults=1; }

for header in "$source"/include/lsvd/*.h; do
	cmp -s "$header" "include/lsvd/$(basename "$header")" || fault "$(basename "$header") is not there"
done
[ "$(find include -type f | wc -l)" = "$(ls "$source"/include/lsvd/*.h | wc -l)" ] ||
	fault "more headers than the public ones: $(find include -type f)"
for file in liblsvd.so liblsvd.so.0 libglsvd.a pkgconfig/lsvd.pc cmake/lsvd/lsvd-config.cmake; do
	[ -e "$libdir/$file" ] || fault "$file is not there"
done
for tool in lsvd-nbd lsvd-admin; do
	[ -x "bin/$tool" ] || { fault "bin/$tool is not there"; continue; }
	"bin/$tool" --version >/dev/null || fault "bin/$tool does not run where it was moved to"
done
for page in "$source"/docs/man/*.[1357]; do
	[ -e "$page" ] || continue
	[ -e "share/man/man${page##*.}/$(basename "$page")" ] || fault "$(basename "$page") is not there"
done

soname=$(readelf -d "$libdir/liblsvd.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ "$soname" = liblsvd.so.0 ] || fault "the SONAME is $soname, expected liblsvd.so.0"
if readelf -d "$libdir/liblsvd.so" | grep -E 'TEXTREL|RPATH|RUNPATH' | grep -v ORIGIN; then
	fault "liblsvd.so has relocations in its text or a path of its own"
fi
readelf -lW "$libdir/liblsvd.so" | grep GNU_RELRO >/dev/null || fault "liblsvd.so is without relro"
readelf -d "$libdir/liblsvd.so" | grep NOW >/dev/null || fault "liblsvd.so is bound lazily"
readelf -lW "$libdir/liblsvd.so" | awk '/GNU_STACK/ && /E/ { if ($7 ~ /E/) exit 1 }' ||
	fault "liblsvd.so has an executable stack"
grep -rl "$build\|$work/first" lib*/ 2>/dev/null | grep -E '\.(pc|cmake)$' && fault "a path of the build was installed"
[ "$faults" = 0 ] && echo "$(find . -type f | wc -l) files, whole and movable"
exit "$faults"
