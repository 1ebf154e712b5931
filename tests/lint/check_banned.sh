#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_banned.sh - calls that have no place here, and calls that have their place elsewhere.
set -euo pipefail
cd "${LSVD_SOURCE_DIR:-$(dirname "$0")/../..}"
bare=$(mktemp -d)
trap 'rm -rf "$bare"' EXIT
faults=0

# A copy of the sources with comments and the contents of literals blanked, line for line.
find lib include tools -name '*.[ch]' | sort | python3 -c '
import pathlib, re, sys
literal = r"\"(?:\\.|[^\"\\\n])*\"|\x27(?:\\.|[^\x27\\\n])*\x27"
token = re.compile(r"/\*.*?\*/|//[^\n]*|" + literal, re.S)
def blank(match):
    text = match.group(0)
    return re.sub(r"[^\n]", " ", text) if text[0] == "/" else "\"\""
for name in sys.stdin.read().splitlines():
    copy = pathlib.Path(sys.argv[1], name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(token.sub(blank, open(name).read()))
' "$bare"
cd "$bare"

# ban CALL|CALL… WHY PATH...
ban() {
	local calls=$1 why=$2
	shift 2
	if grep -rnE "(^|[^[:alnum:]_.>])($calls)[[:space:]]*\(" "$@"; then
		echo "  ^ $why"
		faults=1
	fi
}
# The folders of lib/ but one.
lib_without() { find lib -mindepth 1 -maxdepth 1 -type d ! -name "$1"; }

everywhere=$(ls)
ban 'strcpy|stpcpy|strcat|sprintf|vsprintf|strncpy|strncat' \
	'has no bound, or one that misleads: use snprintf or memcpy' $everywhere
ban 'strtok|strtok_r' 'writes into what it reads' $everywhere
ban 'atoi|atol|atoll|atof' 'cannot say that the text is no number' $everywhere
ban 'alloca' 'has no failure' $everywhere
ban 'tmpnam|mktemp|tempnam' 'is a race' $everywhere
ban 'printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|perror' \
	'the library never prints: lsvd_fail() or lsvd_report()' lib
ban 'exit|_exit|abort|raise|signal|sigaction|system|popen|fork' \
	'the library leaves the process to its owner' lib
ban 'malloc|calloc|realloc|strdup|strndup|aligned_alloc|posix_memalign|asprintf|vasprintf' \
	'allocation goes through base/alloc.h' $(lib_without base) --exclude-dir=libs3
# libs3 is a module, linked with nothing of ours. Drivers of stores that speak to a network have
# threads of their own.
ban 'pthread_create|sleep|usleep|nanosleep|poll|select|epoll_wait|pthread_cond_(timed)?wait' \
	'only lib/io and the drivers of lib/store wait or start a thread' \
	$(lib_without io | grep -v '^lib/store$') --exclude=thread.c
[ "$faults" = 0 ] && echo "no banned call"
exit "$faults"
