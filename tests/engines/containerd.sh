#!/bin/bash
# containerd, by ctr.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=suite
image=docker.io/library/box:latest

start_engine() {
	printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/etc/containerd/config.toml
	containerd >"$SCRATCH/log" 2>&1 &
	eventually ctr version
	ctr images import "$SCRATCH/box.tar"
}
engine_version() { printf 'containerd %s\n' "$(containerd --version | cut -d' ' -f3)"; }
clean_up() {
	local id
	for id in $(ctr tasks ls -q); do ctr tasks kill -a -s KILL "$id"; ctr tasks rm -f "$id"; done
	for id in $(ctr containers ls -q); do ctr containers rm "$id"; done
}

# shellcheck disable=SC2046 # a command with its arguments
ctr_run() { $(documented line 'ctr run' | sed 's/ --rm$//') "$@"; }
# run [FLAG ...] COMMAND ...: run_flags come before the image
run() { ctr_run --rm "${run_flags[@]}" $image "c$RANDOM" "$@"; }
run_flags=()
up() { local name=$1; shift; ctr_run -d "${run_flags[@]}" $image "$name" "$@"; }
task_is() { [[ $(ctr tasks ls | awk -v id="$1" '$1 == id { print $3 }') == "$2" ]]; }
cgroup() { cat "/sys/fs/cgroup/$2/suite/$1/$3"; }

test_run() {
	is "$(run sh -c "echo hello")" hello
	run_flags=(--env A=b --cwd /tmp)
	is "$(run sh -c 'echo $A $(pwd)')" 'b /tmp'
	run_flags=(--read-only)
	exits 1 run touch /x
	run_flags=(--mount "type=bind,src=/etc,dst=/mnt,options=rbind:ro")
	has "$(run cat /mnt/passwd)" root
	run_flags=(--cap-drop CAP_CHOWN --cap-add CAP_SYS_PTRACE)
	is "$(run grep CapEff /proc/self/status | cut -f2)" 00000000a80c25fa
	run_flags=(--seccomp)
	is "$(run grep Seccomp: /proc/self/status | cut -f2)" 2
	run_flags=(--net-host)
	is "$(run readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
}

test_exit_codes() {
	exits 0 run true
	exits 7 run sh -c 'exit 7'
	exits 1 run no-such-program
	has "${output,,}" 'not found in $path'
	exits 1 run /etc/passwd
	has "${output,,}" 'permission denied'
}

test_programs_that_cannot_be_executed() {
	local name reason
	run_flags=(--mount "type=bind,src=$SCRATCH/bad,dst=/bad,options=rbind:ro")
	mkdir -p "$SCRATCH/bad"
	up one sleep 100
	while read -r name reason; do
		ends_badly run "/bad/$name"
		has "${output,,}" "$reason"
		ends_badly ctr tasks exec --exec-id "e$name" one "/bad/$name"
		has "${output,,}" "$reason"
	done < <(bad_programs)
}

test_terminal() {
	# The sleep: ctr does not wait for the last output of a terminal, with any runtime; on a busy machine it may be too short.
	local pause
	for pause in 0.5 5 50; do
		exits 3 script -qefc "ctr run --runtime io.containerd.runc.v2 --runc-binary $RUNTIME --rm -t $image tty1 sh -c 'tty; sleep $pause; exit 3'" /dev/null
		[[ $output != */dev/pts/0* ]] || break
	done
	has "$output" /dev/pts/0
}

test_exec() {
	up one sleep 100
	is "$(ctr tasks exec --exec-id e1 one echo in)" in
	is "$(ctr tasks exec --exec-id e2 --user 1000 --cwd /tmp one sh -c 'echo $(id -u) $(pwd)')" '1000 /tmp'
	exits 5 ctr tasks exec --exec-id e3 one sh -c 'exit 5'
	exits 1 ctr tasks exec --exec-id e4 one nothing-here
	has "${output,,}" 'not found in $path'
	exits 0 script -qefc 'ctr tasks exec -t --exec-id e5 one tty' /dev/null
	has "$output" /dev/pts/
	ctr tasks exec -d --exec-id e6 one sleep 50
	has "$(ctr tasks ps one | wc -l)" 3
}

test_pause_and_kill() {
	up one sleep 100
	ctr tasks pause one
	is "$(cgroup one freezer freezer.state)" FROZEN
	eventually task_is one PAUSED
	ctr tasks resume one
	eventually task_is one RUNNING
	ctr tasks kill -s KILL one
	eventually task_is one STOPPED
	has "$(ctr tasks rm one 2>&1)" 'exit code 137'
	up two sh -c 'trap "exit 9" TERM; touch /tmp/ready; while :; do sleep 0.1; done'
	eventually ctr tasks exec --exec-id e1 two test -e /tmp/ready
	ctr tasks kill -s TERM two
	eventually task_is two STOPPED
	up three sh -c 'sleep 100 & sleep 100 & wait'
	ctr tasks kill -a -s KILL three
	eventually task_is three STOPPED
}

test_metrics() {
	run_flags=(--memory-limit $((64 << 20)))
	up one sleep 100
	local metrics
	metrics=$(ctr tasks metrics one)
	has "$metrics" memory.usage_in_bytes
	is "$(awk '$1 == "memory.limit_in_bytes" { print $2 }' <<<"$metrics")" $((64 << 20))
	is "$(awk '$1 == "pids.current" { print $2 }' <<<"$metrics")" 1
	is "$(ctr tasks metrics --format json one | jq .memory.usage.limit)" $((64 << 20))
}

test_limits() {
	run_flags=(--memory-limit $((64 << 20)) --cpus 0.5)
	up one sleep 100
	is "$(cgroup one memory memory.limit_in_bytes)" $((64 << 20))
	is "$(cgroup one cpu cpu.cfs_quota_us)/$(cgroup one cpu cpu.cfs_period_us)" 50000/100000
	run_flags=(--memory-limit $((16 << 20)))
	exits 137 run tail /dev/zero
}

test_update_by_shim() {
	# ctr has no command for it; the shim's call is that of every client.
	up one sleep 100
	"$RUNTIME" --root /run/containerd/runc/suite update --memory $((48 << 20)) --pids-limit 30 one
	is "$(cgroup one memory memory.limit_in_bytes)" $((48 << 20))
	is "$(cgroup one pids pids.max)" 30
	is "$(ctr tasks metrics --format json one | jq .memory.usage.limit)" $((48 << 20))
}

test_events() {
	ctr events >"$SCRATCH/events" &
	local events=$!
	seen() { grep -q "$1" "$SCRATCH/events"; }
	# The subscription takes a moment, and containers of that moment go unseen.
	until seen /tasks/start; do run true; done
	run_flags=(--memory-limit $((16 << 20)))
	run sh -c 'tail /dev/zero; sleep 1' || true
	eventually seen /tasks/oom
	run_flags=()
	up one sleep 100
	ctr tasks pause one
	ctr tasks resume one
	ctr tasks exec --exec-id e1 one true
	eventually seen /tasks/paused
	eventually seen /tasks/resumed
	eventually seen /tasks/exec-started
	eventually seen /tasks/exit
	kill "$events"
}

test_shared_namespaces() {
	up one sleep 1234
	local pid
	pid=$(ctr tasks ls | awk '$1 == "one" { print $2 }')
	run_flags=(--with-ns "pid:/proc/$pid/ns/pid")
	has "$(run ps)" 'sleep 1234'
	run_flags=(--with-ns "network:/proc/$pid/ns/net")
	is "$(run readlink /proc/self/ns/net)" "$(readlink "/proc/$pid/ns/net")"
}

test_a_shim_that_was_killed() {
	up one sleep 100
	local pid shim
	pid=$(ctr tasks ls | awk '$1 == "one" { print $2 }')
	shim=$(awk '{ print $4 }' "/proc/$pid/stat")
	kill -KILL "$shim"
	no_task() { [[ -z $(ctr tasks ls -q) ]]; }
	eventually no_task
	gone() { [[ ! -e /proc/$pid || $(awk '{ print $3 }' "/proc/$pid/stat") == Z ]]; }
	eventually gone
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime /run/containerd/runc/suite) ]]; }
	eventually none_left
	is "$(groups_below suite)" ''
}
