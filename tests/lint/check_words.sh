#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_words.sh - the tree speaks of the project alone: no paths of one machine, no references that
# lead nowhere for a reader who has only this tree.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"

# Put together here, so that this file does not find itself. An absolute path under a work folder,
# a sibling folder that is not shipped, a nickname, the number of a ticket.
patterns=(
	'(^|[^[:alnum:]_.])/wor''k/'
	'\.\./shar''ed'
	'(^|[^[:alnum:]])[Tt]he see''d('"'"'s)?[[:space:]](README|session|fault|code|crate|project|behaviou?r)'
	'bash_jo''bs'
	'([Ii]ssue|[Tt]icket)[[:space:]]+#?[0-9]+'
	'/home/[a-z]+/'
	'/ro''ot/'
	'(^|[^[:alnum:]])(TO''DO|FIX''ME)([^[:alnum:]]|$)'
)
files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -z
	else
		find . -type f -not -path './.git/*' -not -path './build*' -print0
	fi
}
faults=0
for pattern in "${patterns[@]}"; do
	# -I: binary files (golden images, corpora) hold bytes, not words.
	if files | xargs -0 grep -InE -- "$pattern"; then
		echo "  ^ must not appear: $pattern"
		faults=1
	fi
done
[ "$faults" = 0 ] && echo "no such word"
exit "$faults"
