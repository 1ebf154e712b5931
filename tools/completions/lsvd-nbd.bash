# SPDX-License-Identifier: BSD-2-Clause
# bash completion for lsvd-nbd: options as its --help has them, names as lsvd-admin lists them.

_lsvd_nbd_config() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config)
			[[ ${COMP_WORDS[i + 1]} != = ]] || i=$((i + 1))
			printf '%s' "${COMP_WORDS[i + 1]}"
			;;
		esac
	done
}

_lsvd_nbd() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} offers='' config help
	if [[ $cur == = ]]; then
		cur=''
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	COMPREPLY=()
	help=$("${COMP_WORDS[0]}" --help 2>/dev/null)
	case $prev in
	-n | --name)
		config=$(_lsvd_nbd_config)
		[[ -z $config ]] ||
			offers=$(lsvd-admin list --quick -c "$config" 2>/dev/null | sed '1d; s/ .*//')
		;;
	-*)
		# The word after the option in the help says what its value is: "FILE", "text|json".
		offers=$(sed -nE "s/^  (-., |    )?$prev(, --[a-z-]+)? ([^ ]+)( .*|$)/\3/p" <<<"$help")
		if [[ $offers == *'|'* ]]; then
			offers=${offers//|/ }
		elif [[ $offers =~ ^[A-Z] ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		else
			offers=''
		fi
		;;
	esac
	[[ $prev == -n || $prev == --name || -n $offers ]] ||
		offers=$(sed -nE 's/^  .{4}(--[a-z-]+).*/\1/p' <<<"$help")
	mapfile -t COMPREPLY < <(compgen -W "$offers" -- "$cur")
}

complete -F _lsvd_nbd lsvd-nbd
