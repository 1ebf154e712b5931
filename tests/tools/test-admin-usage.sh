#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-usage.sh - wrong command lines: status 2, a message, a hint, and nothing is opened.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config

usage() { # TEXT ARGUMENTS...: refused with status 2, the text, and a way to the help
	local text=$1
	shift
	expect 2 "$@"
	says "$text"
	says --help
	[[ ! -e store && ! -e cache ]] || fail "lsvd-admin $*: something was made"
}

usage 'a command is missing'
usage 'frobnicate' frobnicate -c lsvd.conf
usage '-c' -c lsvd.conf list
usage '--config' list
usage '--name' init -c lsvd.conf -s 1G
usage '--size' init -c lsvd.conf -n a
usage '--name' inspect -c lsvd.conf
usage '--name' delete -c lsvd.conf --yes
usage '--bogus' list -c lsvd.conf --bogus
usage '-x' list -c lsvd.conf -x
usage 'needs a value' list -c
usage 'takes no value' list -c lsvd.conf --json=yes
usage 'extra' list -c lsvd.conf extra
usage 'extra' init -c lsvd.conf -n a -s 1G extra
usage '--size' list -c lsvd.conf --size 1G

# Names: [A-Za-z0-9_][A-Za-z0-9._-]{0,63}
for name in '' . .. .hidden -dash a/b ../up 'a b' 'a:b' 'ä' $'a\nb' $'a\tb' 'a*' "$(printf 'x%.0s' {1..65})"; do
	for command in 'init -s 1G' inspect 'delete --yes'; do
		usage '--name' $command -c lsvd.conf --name="$name"
	done
done
printf '%s\n' "$(printf 'a%.0s' {1..5000})" >name
usage '(not shown)' inspect -c lsvd.conf --name="$(cat name)"

# Sizes: what lsvd_parse_size() refuses, what is out of bounds, what is no whole sector.
for size in '' 0 1 511 513 1000 -1 +1 1.5G 1g 2Ti '1 G' G 1B 1E 0x1000 1e9 \
	2P 1125899906842625 9223372036854775808 99999999999999999999999; do
	usage '--size' init -c lsvd.conf -n a --size="$size"
done
# The short forms go the same way.
usage '' init -c lsvd.conf -n a -s 1g
usage '' init -c lsvd.conf -n a -S 1g

for uuid in '' 1 0a1b2c3d000040008000000000000000 0a1b2c3d-0000-4000-8000-00000000000 \
	0a1b2c3d-0000-4000-8000-0000000000000 0a1b2c3g-0000-4000-8000-000000000000 \
	'{0a1b2c3d-0000-4000-8000-00000000000}'; do
	usage '--uuid' init -c lsvd.conf -n a -s 1G --uuid="$uuid"
done

# Nobody to ask.
usage '--yes' delete -c lsvd.conf -n a

# Help and version: on standard output, status 0, nothing else needed.
for option in -h --help; do
	expect 0 $option
	for command in init list inspect delete; do
		prints_line "  $command +.*"
	done
done
for command in init list inspect delete; do
	expect 0 $command --help
	prints_line "Usage: lsvd-admin $command .*"
	for option in --config --json --debug --help --version; do
		prints " $option"
	done
done
expect 0 --version
prints_line 'lsvd-admin [0-9]+\.[0-9]+\.[0-9]+'
expect 0 -V
prints_line 'lsvd-admin [0-9]+\.[0-9]+\.[0-9]+'

# Facts that cannot be printed are a failure.
expect 0 init -c lsvd.conf -n a -s 1M
for arguments in '--help' '--version' 'list -c lsvd.conf' 'list -c lsvd.conf --json' \
	'inspect -c lsvd.conf -n a'; do
	status=0
	"$admin" $arguments >/dev/full 2>err || status=$?
	[[ $status = 1 ]] || fail "lsvd-admin $arguments >/dev/full: status $status, expected 1"
	says 'standard output: No space left on device'
done
