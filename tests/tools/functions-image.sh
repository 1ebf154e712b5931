# SPDX-License-Identifier: BSD-2-Clause
# functions-image.sh - what the tests of import and export share, beside functions-admin.sh.
. "$(dirname "${BASH_SOURCE[0]}")/functions-admin.sh"

sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

# same FILE FILE: they have the same bytes.
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

# kib FILE: what it takes on the disk.
kib() { du -k "$1" | cut -f1; }

# no_volume NAME: there is none, and no objects of one.
no_volume() {
	expect 0 list -c lsvd.conf --json
	is "not any(v['name'] == '$1' for v in o['volumes'])"
	[[ ! -d cache ]] || [[ -z $(find cache -name 'import.*') ]] || fail "an import's log was left"
}

# image FILE: 12 MiB and a part of a block: random, a hole, zeroes, random.
image() {
	head -c 3000000 /dev/urandom >"$1"
	truncate -s 6000000 "$1"
	head -c 2000000 /dev/zero >>"$1"
	head -c 4583013 /dev/urandom >>"$1"
}

# The volume that has a file's bytes, and zeroes up to its end, has the sum...
padded_sum() {
	{ cat "$1"; head -c "$(($2 - $(stat -c %s "$1")))" /dev/zero; } | sha256sum | cut -d' ' -f1
}

# background ARGUMENTS...: runs lsvd-admin as the process $pid, its messages in err.
background() {
	"$admin" "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
}

# ends STATUS: $pid has ended with it.
ends() {
	local status=0
	wait "$pid" || status=$?
	[[ $status = "$1" ]] || fail "status $status, expected $1"
}
