#!/bin/bash
# What the suites share. A test is a function test_NAME, run with `set -e` in a shell of its own: the first command
# that fails, fails it. A suite may have tests of another kind: then it defines these two anew.

# shellcheck disable=SC2154 # here is where the suites are
list_tests() { sed -nE 's/^test_([a-z0-9_]+)\(\).*/\1/p' "$here/$ENGINE.sh"; }
run_test() { "test_$1"; }

# go_names: of the tests of a program in Go, on standard input; TestPodNetwork is pod_network. go_test NAME: the way back.
go_names() { sed -E 's/^Test//; s/([a-z0-9])([A-Z])/\1_\l\2/g; s/^./\l&/'; }
go_test() { printf 'Test%s' "$(sed -E 's/(^|_)./\U&/g; s/_//g' <<<"$1")"; }

# documented file PATH, documented line PREFIX: what docs/install.md says.
documented() { "$here/documented" "$@"; }
# configure PATH: append to the file what the document has for it.
configure() {
	local path=$1
	mkdir -p "${path%/*}"
	documented file "$1" >>"$path"
}

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

# eventually COMMAND ...: it succeeds within ten minutes, which only a hang reaches.
eventually() {
	local deadline=$((SECONDS + 600))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || fail "not within ten minutes: $*"
		sleep 0.1
	done
}

# groups_below GLOB: cgroups below that of an engine, in any hierarchy.
groups_below() { find /sys/fs/cgroup -mindepth 2 -type d \( -path "/sys/fs/cgroup/$1/*" -o -path "/sys/fs/cgroup/*/$1/*" \); }

# left_of_runtime: what a runtime has left, when all containers are gone. Arguments: directories of its state.
left_of_runtime() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		exe=$(readlink "$exe" 2>/dev/null) || continue
		case $exe in "$RUNTIME" | /memfd:*) printf 'process: %s\n' "$exe" ;; esac
	done
	find "$@" -mindepth 1 -maxdepth 1 2>/dev/null | sed 's/^/state: /' || true
}

# bad_programs: files that exist and cannot be executed, of which execve finds that out, in $SCRATCH/bad; each with what it says.
bad_programs() {
	mkdir -p "$SCRATCH/bad"
	printf '#!/no/such/interpreter\n' >"$SCRATCH/bad/interpreter"
	printf 'echo no line of an interpreter\n' >"$SCRATCH/bad/script"
	: >"$SCRATCH/bad/empty"
	# An ELF file of a machine that no kernel runs.
	printf '\x7fELF\x02\x01\x01%09d\x02\x00\xfe\xfe%0100d' 0 0 >"$SCRATCH/bad/machine"
	chmod 0755 "$SCRATCH"/bad/*
	printf '%s\n' 'interpreter no such file or directory' 'script exec format error' 'empty exec format error' 'machine exec format error'
}
# ends_badly COMMAND ...: as a program does that cannot be executed; what has been said is left in $output. runc up to 1.1 and
# crun have exit status 1, crun text of its own.
ends_badly() {
	local status=0
	output=$("$@" 2>&1) || status=$?
	case $RUNTIME_NAME:$status in *:255) ;; runc:1 | crun*:1) ;; *) fail "exit status $status: $* -> $output" ;; esac
	[[ $RUNTIME_NAME == crun* ]] || has "$output" 'exec /bad/'
}

# configure_containers: what Podman and buildah need on a machine like this, in files that are not those of docs/install.md.
configure_containers() {
	printf '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' \
		>/etc/containers/storage.conf
	echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
	echo 'unqualified-search-registries = []' >/etc/containers/registries.conf
	# There is no journal here; and without CAP_SYS_RESOURCE the usual limits of 1048576 are out of reach.
	sed -i -e '/^\[containers\]/a log_driver = "k8s-file"\npids_limit = 0\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]' \
		-e '/^\[engine\]/a events_logger = "file"' /usr/share/containers/containers.conf
}

# load_pause COMMAND ...: the program that pods wait in, which Podman would build from a binary of its own; by that podman.
load_pause() {
	"$@" load -i "$SCRATCH/pause.tar"
	"$@" tag pause.test/pause "localhost/podman-pause:$("$@" version --format '{{.Client.Version}}')-0"
}
