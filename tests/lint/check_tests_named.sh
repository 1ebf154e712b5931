#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_tests_named.sh - the tests that the documents name exist, under these names.
#
# `module/test` is a Check test of tests/*/test_module.c; `e2e_x`, `admin_x`, `nbd_x` alone a script;
# a sentence in quotes behind a script's name is the title of a check in it.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
faults=0
named=0

complain() {
	echo "$1: names $2, which does not exist"
	faults=1
}

for doc in docs/predecessors.md docs/guarantees.md docs/performance.md; do
	[ -f "$doc" ] || continue
	while IFS=/ read -r module test; do
		named=$((named + 1))
		grep -qs "^START_TEST($test)" tests/*/test_"$module".c ||
			grep -qs "START_TEST($test)" tests/contract/test_"$module".c ||
			complain "$doc" "$module/$test"
	done < <(grep -oE '`[a-z0-9_]+/[a-z0-9_]+`' "$doc" | tr -d '`' | grep -v '^tests/' | sort -u)
	while read -r script; do
		named=$((named + 1))
		[ -f "tests/e2e/test-${script//_/-}.sh" ] || [ -f "tests/tools/test-${script//_/-}.sh" ] ||
			complain "$doc" "$script"
	done < <(grep -oE '`(e2e|admin|nbd)_[a-z0-9_]+`' "$doc" | tr -d '`' | sort -u)
	while IFS=: read -r script sentence; do
		named=$((named + 1))
		file=tests/e2e/test-${script//_/-}.sh
		grep -qsF "it '$sentence'" "$file" || grep -qsF "def $sentence()" tests/e2e/*.py ||
			complain "$doc" "$script: \"$sentence\""
	done < <(grep -oE '`e2e_[a-z0-9_]+`: "[^"]+"' "$doc" | sed 's/`\(.*\)`: "\(.*\)"/\1:\2/' | sort -u)
done
[ "$faults" = 0 ] && echo "$named tests are named, all exist"
exit "$faults"
