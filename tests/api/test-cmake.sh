#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-cmake.sh - find_package(lsvd) gives the shared library and the static core to a project outside.
set -euo pipefail
. "$(dirname "$0")/installed.sh"
mkdir "$work/project"
cd "$work/project"
cat >main.c <<'C'
#include <stdio.h>
#include <lsvd/lsvd.h>
int main(void)
{
	return puts(lsvd_version()) < 0;
}
C
cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(outside C)
find_package(lsvd 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared lsvd::lsvd)
add_executable(static main.c)
target_link_libraries(static lsvd::glsvd)
CMAKE
cmake -B b -G Ninja -DCMAKE_PREFIX_PATH="$work/usr" >log 2>&1 && ninja -C b >>log 2>&1 || {
	cat log
	exit 1
}
version=$(sed -n 's/^project(lsvd VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
for program in shared static; do
	said=$(b/$program)
	[ "$said" = "$version" ] || { echo "$program says '$said', the project is $version"; exit 1; }
done
[ "$(pkg-config --modversion lsvd)" = "$version" ]
if ldd b/static | grep liblsvd; then
	echo "the static program needs liblsvd.so"
	exit 1
fi
ldd b/shared | grep liblsvd.so.0 >/dev/null || { echo "the shared program does not need liblsvd.so.0"; exit 1; }
echo "find_package(lsvd $version): shared and static"
