#!/bin/bash
# Podman as root, by its command line.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

start_engine() {
	configure_containers
	configure /etc/containers/containers.conf
	podman load -i "$SCRATCH/box.tar"
	load_pause podman
	podman run --rm --net none box true
}
engine_version() { podman version --format 'Podman {{.Client.Version}}'; }
clean_up() {
	podman pod rm -fa -t 0
	podman rm -fa -t 0
}

run() { podman run --rm --net none "$@"; }
up() { local name=$1; shift; podman run -d --net none --name "$name" "$@" >/dev/null; }
inspect() { podman inspect -f "$2" "$1"; }

test_run() {
	is "$(run box echo hello)" hello
	is "$($(documented line 'podman --runtime') --rm --net none box echo by path)" 'by path'
	is "$(echo from outside | run -i box cat)" 'from outside'
	is "$(run -e A=b -w /tmp -h name box sh -c 'echo $A $(pwd) $(hostname)')" 'b /tmp name'
	is "$(run --umask 077 box sh -c 'umask')" 0077
	is "$(run --preserve-fds 1 box cat /proc/self/fd/3 3<<<passed)" passed
	# The sleep: what is said before the client is attached comes late, and Podman does not wait for it.
	exits 3 script -qefc 'podman run --rm -it --net none box sh -c "sleep 0.3; tty; sleep 0.3; exit 3"' /dev/null
	has "$output" /dev/pts/0
}

test_exit_codes() {
	exits 7 run box sh -c 'exit 7'
	exits 137 run box sh -c 'sh -c "kill -9 \$\$"; exit $?'
	exits 127 run box /no/such/program
	exits 127 run box no-such-program
	has "$output" 'not found'
	exits 126 run box /etc/passwd
	has "${output,,}" 'permission denied'
	exits 125 run --no-such-flag box true
}

test_programs_that_cannot_be_executed() {
	local name reason
	mkdir -p "$SCRATCH/bad"
	up one -v "$SCRATCH/bad:/bad" box sleep 100
	while read -r name reason; do
		ends_badly run -v "$SCRATCH/bad:/bad" box "/bad/$name"
		has "${output,,}" "$reason"
		up "$name" -v "$SCRATCH/bad:/bad" --restart on-failure:1 box "/bad/$name"
		podman wait "$name"
		has "$(podman logs "$name" 2>&1 | tr '[:upper:]' '[:lower:]')" "$reason"
		ends_badly podman exec one "/bad/$name"
		has "${output,,}" "$reason"
	done < <(bad_programs)
}

test_exec_logs_top_stats() {
	up one --user 1000:1000 box sh -c 'echo started; exec sleep 100'
	has_started() { [[ $(podman logs one) == started ]]; }
	eventually has_started
	is "$(podman exec one id -u)" 1000
	is "$(podman exec -u 0:5 -w /etc -e A=b one sh -c 'echo $(id -u):$(id -g) $(pwd) $A')" '0:5 /etc b'
	exits 5 podman exec one sh -c 'exit 5'
	exits 127 podman exec one nothing-here
	exits 126 podman exec one /etc/passwd
	exits 0 script -qefc 'podman exec -it one tty' /dev/null
	has "$output" /dev/pts/
	podman exec -d one sh -c 'touch /tmp/made; sleep 50'
	eventually podman exec one test -e /tmp/made
	has "$(podman top one args)" 'sleep 100'
	has "$(podman stats --no-stream --format '{{.Name}} {{.PIDs}}' one)" 'one 2'
}

test_stop_kill_pause_restart() {
	up one box sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
	has_lines() { [[ $(podman logs one | wc -l) -ge $1 ]]; }
	eventually has_lines 1
	podman pause one
	is "$(inspect one '{{.State.Status}}')" paused
	exits 255 podman exec one true || exits 125 podman exec one true
	podman unpause one
	podman stop -t 10 one
	is "$(inspect one '{{.State.ExitCode}}')" 9
	podman start one
	podman kill one
	is "$(podman wait one)" 137
	podman init one
	podman start one
	podman restart -t 0 one
	podman pause one
	podman rm -f -t 0 one
}

cgroup() { cat "/sys/fs/cgroup/$2$(inspect "$1" '{{.State.CgroupPath}}')/$3"; }

test_limits() {
	up one --memory 64m --memory-swap 64m --cpus 0.5 --cpuset-cpus 0 --pids-limit 20 --shm-size 8m \
		--ulimit nofile=100:200 --ulimit nproc=4096 --oom-score-adj 500 box sleep 100
	is "$(cgroup one memory memory.limit_in_bytes)" $((64 << 20))
	is "$(cgroup one cpu cpu.cfs_quota_us)" 50000
	is "$(cgroup one cpuset cpuset.cpus)" 0
	is "$(cgroup one pids pids.max)" 20
	is "$(podman exec one sh -c 'ulimit -n; ulimit -Hn' | xargs)" '100 200'
	is "$(podman exec one cat /proc/1/oom_score_adj)" 500
}

test_update() {
	up one --memory 64m --memory-swap 64m --cpus 0.5 box sleep 100
	podman update --memory 96m --memory-swap 128m --cpus 0.25 --cpu-shares 300 --cpuset-cpus 1 one
	is "$(cgroup one memory memory.limit_in_bytes)" $((96 << 20))
	is "$(cgroup one cpu cpu.cfs_quota_us)/$(cgroup one cpu cpu.cfs_period_us)" 25000/100000
	is "$(cgroup one cpu cpu.shares)" 300
	is "$(cgroup one cpuset cpuset.cpus)" 1
	podman update --memory 48m --memory-swap 48m one
	is "$(cgroup one memory memory.limit_in_bytes)" $((48 << 20))
}

test_read_only_and_tmpfs() {
	exits 1 run --read-only box touch /x
	has "$output" 'Read-only file system'
	run --read-only box touch /tmp/x /run/x
	exits 1 run --read-only --read-only-tmpfs=false box touch /tmp/x
	is "$(run --tmpfs /etc box cat /etc/passwd | head -c 5)" root:
	exits 1 run --tmpfs /etc:notmpcopyup box cat /etc/passwd
	is "$(run --tmpfs /tmp box stat -c %a /tmp)" 1777
	is "$(run --mount type=tmpfs,dst=/home,tmpcopyup box stat -c %u /home/user)" 1000
	exits 1 run --tmpfs /new:size=1m box dd if=/dev/zero of=/new/x bs=1M count=2
}

test_binds_and_volumes() {
	local dir=$SCRATCH/bind
	mkdir -p "$dir"
	echo data >"$dir/file"
	is "$(run -v "$dir:/mnt" box cat /mnt/file)" data
	exits 1 run -v "$dir:/mnt:ro" box touch /mnt/x
	run -v "$dir:/mnt:O" box sh -c 'echo changed >/mnt/file'
	is "$(cat "$dir/file")" data
	run -v vol:/etc box sh -c 'echo kept >/etc/kept'
	is "$(run -v vol:/data box sh -c 'cat /data/kept; test -e /data/passwd || echo no copy')" kept
	podman volume rm vol
}

test_security() {
	cat >"$SCRATCH/profile.json" <<-EOF
	{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
	"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}
	EOF
	exits 1 run --security-opt "seccomp=$SCRATCH/profile.json" box mkdir /x
	has "$output" 'No space left'
	is "$(run box grep Seccomp: /proc/self/status | cut -f2)" 2
	is "$(run --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status | cut -f2)" 0
	is "$(run --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "$(run --cap-drop ALL --cap-add CHOWN box grep CapEff /proc/self/status | cut -f2)" 0000000000000001
	is "$(run --user user box id)" 'uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)'
	is "$(run --security-opt mask=/etc/passwd box sh -c 'cat /etc/passwd | wc -c')" 0
	exits 1 run box sh -c 'echo 1 >/proc/sys/kernel/msgmax'
	is "$(run --sysctl kernel.msgmax=4096 box cat /proc/sys/kernel/msgmax)" 4096
}

test_user_namespaces() {
	is "$(run --uidmap 0:100000:65536 --gidmap 0:100000:65536 box sh -c 'cat /proc/self/uid_map' | xargs)" '0 100000 65536'
	is "$(run --uidmap 0:100000:65536 --user 1000 box id -u)" 1000
	up one --uidmap 0:100000:65536 --tmpfs /etc box sleep 100
	is "$(podman exec one id -u)" 0
	is "$(podman exec one stat -c %u /etc/passwd)" 0
}

test_init_and_hooks() {
	local init
	init=$(command -v docker-init || command -v tini)
	exits 3 run --init --init-path "$init" box sh -c 'exit 3'
	mkdir -p "$SCRATCH/hooks"
	printf '#!/bin/sh\ncat >%s/state\n' "$SCRATCH" >"$SCRATCH/hook"
	chmod +x "$SCRATCH/hook"
	printf '{"version":"1.0.0","hook":{"path":"%s"},"when":{"always":true},"stages":["createRuntime"]}' "$SCRATCH/hook" \
		>"$SCRATCH/hooks/hook.json"
	podman --hooks-dir "$SCRATCH/hooks" run --rm --net none box true
	grep -q '"status": *"creat' "$SCRATCH/state"
}

test_shared_namespaces() {
	up one --ipc shareable box sleep 1234
	has "$(run --pid container:one box ps)" 'sleep 1234'
	is "$(run --ipc container:one box readlink /proc/self/ns/ipc)" "$(podman exec one readlink /proc/self/ns/ipc)"
	is "$(podman run --rm --net container:one box readlink /proc/self/ns/net)" "$(podman exec one readlink /proc/self/ns/net)"
	is "$(run --pid host box readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)"
}

test_pods() {
	# There is no registry to pull a pause image from: the box does it.
	podman pod create --name pod --infra-image box --infra-command 'sleep 1000' --share net,ipc,uts --hostname pod --net none >/dev/null
	podman run -d --pod pod --name one box httpd -f -p 80 -h /etc >/dev/null
	podman run -d --pod pod --name two box sleep 1000 >/dev/null
	has "$(podman exec two wget -qO- http://127.0.0.1/passwd)" root
	is "$(podman exec two hostname)" pod
	podman pod pause pod
	is "$(inspect one '{{.State.Status}}')" paused
	podman pod unpause pod
	podman pod stop -t 0 pod
	podman pod start pod
	is "$(inspect two '{{.State.Status}}')" running
	podman pod kill pod
	podman pod rm -f -t 0 pod
	podman pod create --name bare --infra=false >/dev/null
	is "$(podman run --rm --pod bare --net none box echo in)" in
}

test_kube() {
	cat >"$SCRATCH/pod.yaml" <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: kube}
	spec:
	  hostNetwork: true
	  containers:
	  - name: web
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [sleep, "1000"]
	    resources: {limits: {memory: 32Mi, cpu: 500m}}
	    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
	EOF
	podman play kube --log-driver k8s-file "$SCRATCH/pod.yaml"
	is "$(podman exec kube-web id -u)" 1000
	is "$(cgroup kube-web memory memory.limit_in_bytes)" $((32 << 20))
	podman play kube --down "$SCRATCH/pod.yaml"
	# There and back: a container with its options as a pod.
	up two --memory 32m --read-only --user 1000:5 --env A=b --cap-drop CHOWN --hostname name box sleep 1000
	podman generate kube two >"$SCRATCH/two.yaml"
	podman rm -f -t 0 two
	podman play kube --network none --log-driver k8s-file "$SCRATCH/two.yaml"
	is "$(podman exec two-pod-two sh -c 'echo $(id -u):$(id -g) $A $(hostname)')" '1000:5 b name'
	exits 1 podman exec two-pod-two touch /x
	is "$(cgroup two-pod-two memory memory.limit_in_bytes)" $((32 << 20))
	podman play kube --down "$SCRATCH/two.yaml"
}

test_healthcheck() {
	up one --health-cmd 'test -e /tmp/healthy' --health-retries 1 --health-interval disable box sleep 100
	exits 1 podman healthcheck run one
	podman exec one touch /tmp/healthy
	exits 0 podman healthcheck run one
}

test_out_of_memory() {
	exits 137 run -m 16m --memory-swap 16m box tail /dev/zero
	exits 9 podman run --name one --net none -m 16m --memory-swap 16m box sh -c 'tail /dev/zero; exit 9'
}

test_privileged() {
	is "$(run --privileged box grep CapEff /proc/self/status | cut -f2)" "$(grep CapBnd /proc/self/status | cut -f2)"
	run --privileged box sh -c 'mount -t tmpfs tmpfs /mnt && test -c /dev/net/tun && grep -q " /sys sysfs rw" /proc/mounts'
	is "$(run --privileged box grep Seccomp: /proc/self/status | cut -f2)" 0
	is "$(run --device /dev/net/tun:/dev/other box sh -c 'test -c /dev/other && : </dev/other && echo read')" read
}

# conmon by hand, as Podman and CRI-O call it.
test_conmon() {
	local bundle=$SCRATCH/conmon
	mkdir -p "$bundle/exits"
	podman create --name rootfs --net none box true
	(cd "$bundle" && "$RUNTIME" spec)
	jq --arg path "$(podman mount rootfs)" '.root.path = $path | .process.terminal = false | .process.args = ["sh", "-c",
		"echo out; echo err >&2; until test -e /proc/1/root/dev/shm/end; do sleep 0.05; done; exit 7"]' "$bundle/config.json" >"$bundle/new"
	mv "$bundle/new" "$bundle/config.json"
	conmon --api-version 1 -c by-hand -u by-hand -n by-hand -r "$RUNTIME" -b "$bundle" -p "$bundle/pid" --conmon-pidfile "$bundle/conmon.pid" \
		-l "k8s-file:$bundle/log" --exit-dir "$bundle/exits" --socket-dir-path "$bundle" --runtime-arg --root --runtime-arg "$bundle/root"
	eventually test -s "$bundle/pid"
	is "$("$RUNTIME" --root "$bundle/root" state by-hand | jq -r '"\(.status) \(.pid)"')" "created $(cat "$bundle/pid")"
	"$RUNTIME" --root "$bundle/root" start by-hand
	eventually grep -q 'stdout F out' "$bundle/log"
	eventually grep -q 'stderr F err' "$bundle/log"
	: >"/proc/$(cat "$bundle/pid")/root/dev/shm/end"
	eventually test -s "$bundle/exits/by-hand"
	is "$(cat "$bundle/exits/by-hand")" 7
	"$RUNTIME" --root "$bundle/root" delete by-hand
	podman rm -f rootfs
}

test_without_cgroups() {
	is "$(run --cgroups disabled box echo hello)" hello
	is "$(run --cgroups disabled box cat /proc/self/cgroup)" "$(run --cgroups disabled --cgroupns host box cat /proc/self/cgroup)"
	up one --cgroups disabled box sleep 100
	is "$(podman exec one echo in)" in
	podman stop -t 0 one
}

test_networks() {
	podman network create lan >/dev/null
	podman run -d --name one --net lan box httpd -f -p 80 -h /etc >/dev/null
	local address
	address=$(inspect one '{{.NetworkSettings.Networks.lan.IPAddress}}')
	has "$(podman run --rm --net lan box wget -qO- "http://$address/passwd")" root
	podman rm -f -t 0 one
	podman network rm lan
}

test_build_cp_commit() {
	mkdir -p "$SCRATCH/build"
	printf 'FROM box\nRUN mkdir /made && echo b >/made/file\nUSER user\nRUN id -u >/tmp/id\nCMD cat /made/file /tmp/id\n' \
		>"$SCRATCH/build/Dockerfile"
	podman --runtime "$RUNTIME" build --runtime "$RUNTIME" --isolation oci --net none -t built "$SCRATCH/build"
	is "$(run built | xargs)" 'b 1000'
	up one box sleep 100
	echo copied >"$SCRATCH/copied"
	podman cp "$SCRATCH/copied" one:/tmp/copied
	is "$(podman exec one cat /tmp/copied)" copied
	podman commit -q one committed
	is "$(run committed cat /tmp/copied)" copied
}

test_nothing_left() {
	clean_up
	local root=/run/$RUNTIME_NAME
	none_left() { [[ -z $(left_of_runtime "$root") ]]; }
	eventually none_left
	# Pods' cgroups and those of conmon are Podman's own.
	is "$(find /sys/fs/cgroup/ -type d -name 'libpod-*' 2>/dev/null)" ''
}
