# SPDX-License-Identifier: BSD-2-Clause
# bash completion for lsvd-admin: what it offers is what the program itself says, in --help and list.

# The words of the line with "--option=value" as two words, as when it is typed with a blank.
_lsvd_admin_words() {
	local i
	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == = && $i -gt 1 ]] || words+=("${COMP_WORDS[i]}")
	done
	[[ ${COMP_WORDS[COMP_CWORD]} != = ]] || words+=("")
	cur=${words[-1]}
	prev=${words[-2]}
}

_lsvd_admin_config() {
	local i
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		case ${words[i]} in
		-c | --config) printf '%s' "${words[i + 1]}" ;;
		esac
	done
}

# Of value logs with the argument vlog.
_lsvd_admin_volumes() {
	local config quick=
	[[ $# -gt 0 ]] || quick=--quick
	config=$(_lsvd_admin_config)
	[[ -z $config ]] ||
		"${words[0]}" "$@" list $quick -c "$config" 2>/dev/null | sed '1d; s/ .*//'
}

# Volumes; and the snapshots of one, once its name and @ are there.
_lsvd_admin_places() {
	local config volume=${cur%%@*}
	config=$(_lsvd_admin_config)
	_lsvd_admin_volumes
	[[ -z $config || $cur != *@* ]] ||
		"${words[0]}" snapshot list -c "$config" "$volume" 2>/dev/null |
		sed "1d; s/ .*//; s/^/$volume@/"
}

_lsvd_admin() {
	local cur prev words offers=''
	_lsvd_admin_words
	COMPREPLY=()
	case $prev in
	-p | --cache)
		[[ ${words[1]} == warm && $prev == -p ]] && set -- -f || set -- -d
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
		return
		;;
	-c | --config | --profile | --record | --live | --moves | --handles)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-n | --name)
		if [[ ${words[1]} == vlog ]]; then
			[[ ${words[2]} == import ]] || offers=$(_lsvd_admin_volumes vlog)
		elif [[ ${words[1]} != init && ${words[1]} != import ]]; then
			offers=$(_lsvd_admin_volumes)
		fi
		;;
	-f | --format)
		offers='raw qcow2'
		[[ ${words[1]} != import ]] || offers='auto raw qcow2'
		;;
	--parent | --lower)
		offers=$(_lsvd_admin_places)
		;;
	-s | -S | --size | -u | --uuid | --verify | -r | --range)
		return
		;;
	*)
		if [[ ${#words[@]} -eq 2 ]]; then
			offers=$("${words[0]}" --help 2>/dev/null |
				sed -nE 's/^  ([a-z0-9]+)  .*/\1/p; s/.* (--[a-z-]+).*/\1/p')
		elif [[ ${words[1]} == vlog && ${#words[@]} -eq 3 ]]; then
			offers='list inspect verify import gc delete'
		elif [[ ${words[1]} == vlog && $cur == -* ]]; then
			offers=$("${words[0]}" vlog "${words[2]}" --help 2>/dev/null </dev/null |
				sed -nE 's/^  .{4}(--[a-z-]+).*/\1/p')
		elif [[ ${words[1]} == vlog ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
			return
		elif [[ ${words[1]} == snapshot && ${#words[@]} -eq 3 ]]; then
			offers='create delete rollback list'
		elif [[ ${words[1]} == gc && ${#words[@]} -eq 3 && $cur != -* ]]; then
			offers='pause resume cancel status'
		elif [[ ${words[1]} == @(snapshot|clone) && $cur != -* ]]; then
			offers=$(_lsvd_admin_places)
		elif [[ ${words[1]} == @(import|export) && $cur != -* ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		else
			offers=$("${words[0]}" "${words[1]}" --help 2>/dev/null </dev/null |
				sed -nE 's/^  .{4}(--[a-z-]+).*/\1/p')
		fi
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$offers" -- "$cur")
}

complete -F _lsvd_admin lsvd-admin
