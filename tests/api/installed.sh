# SPDX-License-Identifier: BSD-2-Clause
# installed.sh - to be sourced: installs the build into $work/usr, by way of another prefix, so that
# nothing installed may remember where it was put first.
source=${LSVD_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${LSVD_BUILD_DIR:-$source/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/usr"
libdir=$(dirname "$(find "$work/usr" -name liblsvd.so)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
