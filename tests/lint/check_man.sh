#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_man.sh - the manual pages are well formed, name themselves as their file does, and say
# something of every option that a tool's --help shows.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
command -v groff >/dev/null || { echo "groff is not installed"; exit 77; }
faults=0
pages=0
for page in docs/man/*.[1357]; do
	[ -e "$page" ] || continue
	pages=$((pages + 1))
	# A line that only warns of a word too long for the width says nothing about the page.
	if groff -man -mandoc -Tutf8 -ww -z "$page" 2>&1 | grep -v "can't break line"; then
		echo "$page: groff complains"
		faults=1
	fi
	name=$(basename "${page%.*}")
	grep -qiE "^\.(TH|Dt) \"?$name\"? " "$page" || { echo "$page: its title is not $name"; faults=1; }
done

for tool in lsvd-nbd lsvd-admin; do
	page=docs/man/$tool.1
	[ -e "$page" ] && [ -x "${LSVD_BIN_DIR:-}/$tool" ] || continue
	text=$(sed 's/\\-/-/g' "$page")
	for option in $("$LSVD_BIN_DIR/$tool" --help | grep -oE -- '(^|[[:space:],])--[a-z][a-z-]+' | tr -d ' ,' | sort -u); do
		[[ $text == *"$option"* ]] || { echo "$page: nothing of $option"; faults=1; }
	done
done
[ "$pages" != 0 ] || { echo "there is no manual page yet"; exit 77; }
[ "$faults" = 0 ] && echo "$pages manual pages"
exit "$faults"
