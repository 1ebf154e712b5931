#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-completion.sh - what a Tab offers for lsvd-admin and lsvd-nbd.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
completions=$(cd "$(dirname "$0")/../../tools/completions" && pwd)
begin
config
PATH=$bin_dir:$PATH
. "$completions/lsvd-admin.bash"
. "$completions/lsvd-nbd.bash"
expect 0 init -c lsvd.conf -n alpha -s 1M
expect 0 init -c lsvd.conf -n beta -s 1M

# offers FUNCTION WORDS... -- ANSWERS...: the last word is the one being typed.
offers() {
	local function=$1 want
	shift
	COMP_WORDS=()
	while [[ $1 != -- ]]; do
		COMP_WORDS+=("$1")
		shift
	done
	shift
	want=$(printf '%s\n' "$@" | sort)
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	"$function" 2>"$tmp/err" || true # compopt fails where no line is being typed
	printf '%s\n' "${COMPREPLY[@]}" | sort >"$tmp/out"
	[[ $(cat "$tmp/out") = "$want" ]] || fail "${COMP_WORDS[*]}: expected $(echo $want)"
	[[ ! -s $tmp/err ]] || fail "${COMP_WORDS[*]}: messages"
}

offers _lsvd_admin lsvd-admin '' -- init list inspect stats delete resize seal gc pack snapshot clone flatten \
	import export sha256 warm check doctor vlog --help --version
offers _lsvd_admin lsvd-admin in -- init inspect
offers _lsvd_admin lsvd-admin vlog i -- inspect import
offers _lsvd_admin lsvd-admin vlog gc --l -- --live
offers _lsvd_admin lsvd-admin vlog import -c lsvd.conf cac -- ''
offers _lsvd_admin lsvd-admin vlog verify -c lsvd.conf -n '' -- ''
offers _lsvd_admin lsvd-admin import --v -- --verify --version
offers _lsvd_admin lsvd-admin import -c lsvd.conf -n '' -- ''
offers _lsvd_admin lsvd-admin import -c lsvd.conf lsvd -- lsvd.conf
offers _lsvd_admin lsvd-admin import --format q -- qcow2
offers _lsvd_admin lsvd-admin export -c lsvd.conf -n '' -- alpha beta
offers _lsvd_admin lsvd-admin export -f '' -- raw qcow2
offers _lsvd_admin lsvd-admin warm --profile lsvd -- lsvd.conf
offers _lsvd_admin lsvd-admin warm --range '' -- ''
offers _lsvd_admin lsvd-admin list --j -- --json
offers _lsvd_admin lsvd-admin delete --y -- --yes
offers _lsvd_admin lsvd-admin init --s -- --size
offers _lsvd_admin lsvd-admin inspect -c lsvd -- lsvd.conf
offers _lsvd_admin lsvd-admin inspect --config = lsvd -- lsvd.conf
offers _lsvd_admin lsvd-admin inspect -c lsvd.conf -n '' -- alpha beta
offers _lsvd_admin lsvd-admin inspect --config = lsvd.conf --name = a -- alpha
offers _lsvd_admin lsvd-admin inspect -n '' -- ''
offers _lsvd_admin lsvd-admin init -c lsvd.conf -n '' -- ''
offers _lsvd_admin lsvd-admin init -s '' -- ''
offers _lsvd_admin lsvd-admin init -c lsvd.conf --lower al -- alpha
offers _lsvd_admin lsvd-admin snapshot '' -- create delete rollback list
offers _lsvd_admin lsvd-admin snapshot create -c lsvd.conf al -- alpha
offers _lsvd_admin lsvd-admin clone -c lsvd.conf '' -- alpha beta
mkdir cache.d
offers _lsvd_admin lsvd-admin seal -p cache. -- cache.d
offers _lsvd_admin lsvd-admin warm -p lsvd -- lsvd.conf

if [[ -x $bin_dir/lsvd-nbd ]]; then
	offers _lsvd_nbd lsvd-nbd --versi -- --version
	offers _lsvd_nbd lsvd-nbd -c lsvd -- lsvd.conf
	offers _lsvd_nbd lsvd-nbd -c lsvd.conf -n '' -- alpha beta
	offers _lsvd_nbd lsvd-nbd --config = lsvd.conf --name = b -- beta
	offers _lsvd_nbd lsvd-nbd --log-format '' -- text json
fi
