#!/bin/bash
# What is in examples/: a network by CNI, a job of a build. There is no engine, but for shell scripts.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

examples=$here/../../examples
export RT=$RUNTIME

start_engine() {
	mkdir -p "$SCRATCH/layer" "$SCRATCH/rootfs"
	tar -C "$SCRATCH/layer" -xf "$SCRATCH/box.tar" layer.tar
	tar -C "$SCRATCH/rootfs" -xf "$SCRATCH/layer/layer.tar"
}
engine_version() { bash --version | sed -n '1s/.*version \([0-9.]*\).*/bash \1/p'; }
clean_up() {
	local id
	for id in $("$RT" list -q); do "$RT" delete --force "$id"; done
}

# bundle NAME COMMAND ...
bundle() {
	local dir=$SCRATCH/$1
	shift
	rm -rf "$dir"
	mkdir "$dir"
	(cd "$dir" && "$RT" spec)
	# shellcheck disable=SC2016 # jq's own variables
	jq --arg rootfs "$SCRATCH/rootfs" '.root.path = $rootfs | .process.terminal = false | .process.args = $ARGS.positional
		| .process.capabilities |= map_values(. + ["CAP_NET_BIND_SERVICE", "CAP_NET_RAW"])' \
		"$dir/config.json" --args -- "$@" >"$dir/new"
	mv "$dir/new" "$dir/config.json"
}
address() { "$examples/cni/network" ADDRESS "$1"; }
veths() { ip -br link show type veth | wc -l; }
leases() { find /var/lib/cni/networks/rt -name '10.*' | wc -l; }
# The kernel takes a namespace's devices away in its own time.
devices_and_leases() { [[ $(veths) == "$1" && $(leases) == "$2" && $(find /run/rt-cni -type f | wc -l) == "$2" ]]; }
eth0() { "$RT" exec "$1" ip -4 -o addr show eth0 | awk '{ print $4 }'; }

# ends STATUS PID: this process, our child, ends so
ends() {
	local status=0
	wait "$2" || status=$?
	is "$status" "$1"
}

test_network_by_hooks() {
	local name
	for name in one two; do
		bundle "$name" sh -c 'ip -4 -o addr show eth0; exec httpd -f -p 80 -h /etc'
		"$examples/cni/hooks" "$SCRATCH/$name"
	done
	"$RT" create --bundle "$SCRATCH/one" one >"$SCRATCH/one.log" 2>&1
	# It has a network, and its program has not begun.
	is "$("$RT" state one | jq -r .status)" created
	eventually devices_and_leases 1 1
	is "$(cat "$SCRATCH/one.log")" ''
	"$RT" start one
	"$RT" run --detach --bundle "$SCRATCH/two" two >"$SCRATCH/two.log" 2>&1
	eventually devices_and_leases 2 2
	is "$(eth0 one)" "$(address one)/24"
	# The program itself saw it at once.
	wrote() { grep -q "$(address one)/24" "$SCRATCH/one.log"; }
	eventually wrote
	eventually busybox wget -qO- "http://$(address one)/passwd"
	eventually busybox wget -qO- "http://$(address two)/passwd"
	has "$("$RT" exec one wget -qO- "http://$(address two)/passwd")" root
	has "$("$RT" exec two wget -qO- "http://$(address one)/passwd")" root
	"$RT" exec one ping -c 1 -W 120 10.77.0.1
	"$RT" delete --force one
	eventually devices_and_leases 1 1
	"$RT" delete --force two
	eventually devices_and_leases 0 0
}

test_network_by_a_script() {
	bundle one sh -c 'ip -4 -o addr show eth0; until test -e /dev/shm/end; do sleep 0.05; done'
	"$examples/cni/run" "$SCRATCH/one" one >"$SCRATCH/one.log" 2>&1 &
	local script=$!
	wrote() { grep -q "one is 10.77.0." "$SCRATCH/one.log" && grep -q "eth0 .*$(address one)/24" "$SCRATCH/one.log"; }
	eventually wrote
	busybox ping -c 1 -W 120 "$(address one)"
	"$RT" exec one touch /dev/shm/end
	wait "$script"
	eventually devices_and_leases 0 0
	# A script that is told to end takes the container and its network along.
	bundle two sleep 1000
	"$examples/cni/run" "$SCRATCH/two" two >"$SCRATCH/two.log" 2>&1 &
	script=$!
	has_started() { [[ $("$RT" state two | jq -r .status) == running ]]; }
	eventually has_started
	kill "$script"
	ends 143 "$script"
	exits 1 "$RT" state two
	eventually devices_and_leases 0 0
}

# A hook that fails: the container does not come to be, and the error is the plugin's.
test_network_that_cannot_be() {
	bundle one true
	"$examples/cni/hooks" "$SCRATCH/one"
	jq '.hooks.createRuntime[0].env = ["CNI_PATH=/nowhere"]' "$SCRATCH/one/config.json" >"$SCRATCH/one/new"
	mv "$SCRATCH/one/new" "$SCRATCH/one/config.json"
	exits 1 "$RT" run --bundle "$SCRATCH/one" one
	has "$output" 'no plugin /nowhere/bridge'
	exits 1 "$RT" state one
	eventually devices_and_leases 0 0
}

job() { "$examples/ci/job" "$SCRATCH/rootfs" "$SCRATCH/work" "$@"; }

test_job() {
	mkdir -p "$SCRATCH/work"
	echo source >"$SCRATCH/work/file"
	JOB_ENV='A=b C=d' job sh -c 'tr a-z A-Z <file >made; echo $A $C; touch /etc/changed; echo err >&2' >"$SCRATCH/out" 2>"$SCRATCH/err"
	is "$(cat "$SCRATCH/work/made" "$SCRATCH/out" "$SCRATCH/err" | xargs)" 'SOURCE b d err'
	[[ ! -e $SCRATCH/rootfs/etc/changed ]]
	is "$(echo input | job cat)" input
	exits 7 job sh -c 'exit 7'
	exits 137 job sh -c 'sh -c "kill -9 \$\$"; exit $?'
	MEMORY=16 exits 137 job tail /dev/zero
	PIDS=3 exits 2 job sh -c 'sleep 100 & sleep 100 & sleep 100 & sleep 100 & wait'
	is "$(job ls /sys/class/net)" lo
	exits 1 job no-such-program
	has "$output" 'no-such-program'
}

test_job_that_is_ended() {
	mkdir -p "$SCRATCH/work"
	LIMIT=1 exits 124 job sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done'
	"$examples/ci/job" "$SCRATCH/rootfs" "$SCRATCH/work" sh -c 'touch begun; sleep 1000 & sleep 1000 & wait' &
	local script=$!
	eventually test -e "$SCRATCH/work/begun"
	kill -TERM "$script"
	ends 143 "$script"
	is "$("$RT" list -q)" ''
	is "$(grep -c rt-job /proc/self/mounts || true) $(find /tmp -maxdepth 1 -name 'rt-job*')" '0 '
}

test_jobs_side_by_side() {
	mkdir -p "$SCRATCH/work"
	local i pids=()
	for i in 1 2 3 4 5 6; do job sh -c "echo $i >out.$i; exit $i" & pids+=($!); done
	for i in "${!pids[@]}"; do ends $((i + 1)) "${pids[i]}"; done
	is "$(cat "$SCRATCH"/work/out.* | xargs)" '1 2 3 4 5 6'
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime "/run/$RUNTIME_NAME") ]]; }
	eventually none_left
	is "$(left_of_runtime "/run/$RUNTIME_NAME")" ''
	is "$(find /tmp -maxdepth 1 -name 'rt-job*')" ''
}
