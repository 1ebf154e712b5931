# SPDX-License-Identifier: BSD-2-Clause
# functions-admin.sh - what the tests of lsvd-admin share; sourced, not run.
#
# A test is a list of steps in a directory of its own that goes away at the end. The first step that
# does not hold ends it, with the line, what was run and what it said.

set -euo pipefail

bin_dir=$(cd "${LSVD_BIN_DIR:?the directory of the built tools}" && pwd)
admin=$bin_dir/lsvd-admin
. "$(dirname "${BASH_SOURCE[0]}")/../support/bytes.sh"
tmp=
begin() {
	[[ -x $admin ]] || { echo "$admin is not built"; exit 1; }
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/lsvd-admin.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp"
	unset LSVD_DEBUG
}

fail() {
	echo "line ${BASH_LINENO[-2]}: $*"
	echo "--- output:"
	cat "$tmp/out"
	echo "--- messages:"
	cat "$tmp/err"
	exit 1
}

# expect STATUS ARGUMENTS...: runs lsvd-admin without a terminal; output in out, messages in err.
expect() {
	local want=$1 status=0
	shift
	"$admin" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	[[ $status = "$want" ]] || fail "lsvd-admin $*: status $status, expected $want"
	[[ $want = 0 || ! -s $tmp/out ]] || fail "lsvd-admin $*: failed, and has output"
	[[ $want != 0 || ! -s $tmp/err ]] || fail "lsvd-admin $*: succeeded, and has messages"
}

# says TEXT, prints TEXT: the last messages, or output, contain the text.
says() { grep -qF -- "$1" "$tmp/err" || fail "the message does not say: $1"; }
prints() { grep -qF -- "$1" "$tmp/out" || fail "the output has no: $1"; }
# prints_line REGULAR-EXPRESSION: it matches a whole line of the last output.
prints_line() { grep -qxE -- "$1" "$tmp/out" || fail "no line of the output is: $1"; }

# is EXPRESSION: the last output is one JSON value, o, of which a Python expression is true.
is() {
	python3 - "$1" "$tmp/out" <<-'PY' || fail "not true of the output: $1"
	import json, sys
	with open(sys.argv[2]) as f:
	    o = json.load(f)
	sys.exit(0 if eval(sys.argv[1]) else 1)
	PY
}

# config [LINE...]: a configuration with a directory store.
config() {
	{
		printf '%s\n' "$@"
		printf 'cache_path = "./cache"\nstorage {\n  file_path = "./store"\n}\n'
	} >lsvd.conf
}

# fingerprint DIRECTORY: changes when anything in it does.
fingerprint() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k2; find . | sort) | sha256sum; }
