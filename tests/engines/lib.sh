#!/bin/bash
# What the suites share. A test is a function test_NAME, run with `set -e` in a shell of its own: the first command
# that fails, fails it. A suite may have tests of another kind: then it defines these two anew.

list_tests() { sed -nE 's/^test_([a-z0-9_]+)\(\).*/\1/p' "$here/$ENGINE.sh"; }
run_test() { "test_$1"; }

# documented file PATH, documented line PREFIX: what docs/install.md says.
documented() { "$here/documented" "$@"; }

fail() { printf '%s:%s: %s\n' "${BASH_SOURCE[2]##*/}" "${BASH_LINENO[1]}" "$*"; exit 1; }

# is GOT WANT; has TEXT PART; hasnt TEXT PART
is() { [[ $1 == "$2" ]] || fail "got '$1', want '$2'"; }
has() { [[ $1 == *"$2"* ]] || fail "no '$2' in '$1'"; }
hasnt() { [[ $1 != *"$2"* ]] || fail "'$2' in '$1'"; }

# exits STATUS COMMAND ...: the command ends with that status; its output, both streams, is left in $output.
exits() {
	local want=$1 status=0
	shift
	output=$("$@" 2>&1) || status=$?
	[[ $status -eq $want ]] || fail "exit status $status, want $want: $* -> $output"
}

# eventually COMMAND ...: it succeeds within 30 seconds; machines that test are busy.
eventually() {
	local deadline=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || fail "not within 30 s: $*"
		sleep 0.1
	done
}

# left_of_runtime: what a runtime has left, when all containers are gone. Arguments: directories of its state.
left_of_runtime() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		exe=$(readlink "$exe" 2>/dev/null) || continue
		case $exe in "$RUNTIME" | /memfd:*) printf 'process: %s\n' "$exe" ;; esac
	done
	find "$@" -mindepth 1 -maxdepth 1 2>/dev/null | sed 's/^/state: /' || true
	[[ $(stat -c '%u:%g %a %t:%T' /dev/null) == '0:0 666 1:3' ]] || stat /dev/null
}
