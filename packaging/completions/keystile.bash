# bash completion of proxyd, envgen and creds. What the configuration calls its own is asked of `envgen names`, which reads
# no key and no vault.

# Sets cur and prev as the programs read them: bash makes three words of --name=value.
_keystile_words() {
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = && $COMP_CWORD -gt 2 ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
}

# _keystile_command OPTION…: sets command to the first word that is neither an option nor the value of one of these, and at
# to its place.
_keystile_command() {
	local i word
	command= at=$COMP_CWORD
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ " $* " == *" $word "* ]]; then
			((i++))
			[[ ${COMP_WORDS[i]} == = ]] && ((i++))
			while [[ ${COMP_WORDS[i + 1]} == : ]]; do ((i += 2)); done
		elif [[ $word != -* ]]; then
			command=$word at=$i
			return
		fi
	done
}

# _keystile_names KIND: as the configuration that this line names has them.
_keystile_names() {
	local i file
	local -a config=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --config ]] || continue
		file=${COMP_WORDS[i + 1]}
		[[ $file == = ]] && file=${COMP_WORDS[i + 2]}
		config=(--config "${file/#\~\//$HOME/}")
	done
	_keystile_offer "$(envgen names "$1" "${config[@]}" </dev/null 2>/dev/null)"
}

_keystile_offer() {
	local IFS=$' \n'
	COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_keystile_files() {
	local IFS=$'\n'
	compopt -o filenames 2>/dev/null
	COMPREPLY=($(compgen -f -- "$cur"))
}

# Where a key comes from; behind its colon, which is a word by itself, stands a path.
_keystile_source() {
	_keystile_offer "file: systemd: passphrase passphrase:file:"
	[[ ${COMPREPLY[*]} != *: ]] || compopt -o nospace 2>/dev/null
}

_proxyd() {
	local cur prev
	_keystile_words
	case $prev in
	-c | --config) _keystile_files ;;
	--log-format) _keystile_offer "text json" ;;
	*) _keystile_offer "-c --config --check --log-format --presets -v -V --version -h --help" ;;
	esac
}

_envgen() {
	local cur prev command at options="--config --help --version"
	_keystile_words
	_keystile_command --profile --format -o --output --advertise --config --keep --ca-over
	if [[ $command == run && $at -lt $COMP_CWORD ]]; then
		_keystile_run && return
	fi
	case $prev in
	--profile) _keystile_names profiles; return ;;
	--format) _keystile_offer "sh dotenv docker systemd github json fish k8s"; return ;;
	-o | --output | --config | --ca-over) _keystile_files; return ;;
	--keep) COMPREPLY=($(compgen -v -- "$cur")); return ;;
	--advertise) return ;;
	esac
	case $command in
	'') options+=" --profile --advertise --format -o --output"; [[ $cur == -* ]] || options="explain run verify names admin" ;;
	explain | verify) options+=" --profile --advertise --json"; [[ $cur == -* ]] || options= ;;
	run) options+=" --profile --advertise --confine --best-effort --clean --keep --ca-over" ;;
	names) [[ $cur == -* ]] || options="profiles credentials secrets" ;;
	esac
	_keystile_offer "$options"
}

# The program of `envgen run` and its arguments, as if they stood by themselves. 1: the word is not one of them.
_keystile_run() {
	local i
	for ((i = at + 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) ((i++)); break ;;
		--profile | --advertise | --config | --keep | --ca-over) ((i++)); [[ ${COMP_WORDS[i]} != = ]] || ((i++)) ;;
		-*) ;;
		*) break ;;
		esac
	done
	((i <= COMP_CWORD)) && [[ ${COMP_WORDS[i]} != -* || ${COMP_WORDS[i - 1]} == -- ]] || return
	[[ $prev != --* || $prev == -- || " --confine --best-effort --clean " == *" $prev "* ]] || return
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "$i"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$i"
	else
		compopt -o default 2>/dev/null
		((i < COMP_CWORD)) || COMPREPLY=($(compgen -c -- "$cur"))
	fi
	return 0
}

_creds() {
	local cur prev command at options="--config --vault --key --help --version"
	_keystile_words
	if [[ $cur == : || $prev == : ]]; then
		[[ $cur != : ]] || cur=
		_keystile_files
		return
	fi
	_keystile_command --config --vault --key --from-file --expires --with
	case $prev in
	--config | --vault | --from-file) _keystile_files; return ;;
	--key | --with) _keystile_source; return ;;
	--expires) _keystile_offer "30d 90d 365d never"; return ;;
	esac
	[[ $command == key && $((at + 1)) -lt $COMP_CWORD ]] && command="key ${COMP_WORDS[at + 1]}"
	if [[ $cur == -* ]]; then
		case $command in
		set) options+=" --from-file --expires" ;;
		list | show | verify | 'key list') options+=" --json" ;;
		rekey) options+=" --with --drop" ;;
		esac
		_keystile_offer "$options"
		return
	fi
	case $command in
	'') _keystile_offer "init set list show reveal rm import rekey key verify accept-older keygen" ;;
	set | show | reveal | rm) _keystile_names secrets ;;
	import | keygen) _keystile_files ;;
	key) _keystile_offer "add rm list" ;;
	'key add') _keystile_source ;;
	esac
}

complete -F _proxyd proxyd
complete -F _envgen envgen
complete -F _creds creds
