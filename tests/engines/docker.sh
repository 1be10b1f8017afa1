#!/bin/bash
# Docker Engine, by its command line.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

start_engine() {
	configure /etc/docker/daemon.json
	dockerd --host unix:///run/docker.sock --storage-driver overlay2 --userland-proxy=false >"$SCRATCH/log" 2>&1 &
	eventually docker version
	docker load -i "$SCRATCH/box.tar"
	mkdir "$SCRATCH/empty"
}
engine_version() { docker version --format 'Docker {{.Server.Version}}'; }
clean_up() {
	local all
	mapfile -t all < <(docker ps -aq)
	[[ ${#all[@]} -eq 0 ]] || docker rm -f "${all[@]}"
}

run() { docker run --rm --net none "$@"; }
# up NAME [ARGUMENT ...] IMAGE [COMMAND ...]: a container of that name, in the background
up() { local name=$1; shift; docker run -d --net none --name "$name" "$@" >/dev/null; }
inspect() { docker inspect -f "$2" "$1"; }
status_is() { [[ $(inspect "$1" '{{.State.Status}}') == "$2" ]]; }

test_run() {
	is "$(run box echo hello)" hello
	is "$(echo from outside | run -i box cat)" 'from outside'
	is "$(run -e A=b -w /tmp -h name box sh -c 'echo $A $(pwd) $(hostname)')" 'b /tmp name'
	is "$($(documented line 'docker run') --rm --net none box echo by name)" 'by name'
	has "$(docker info -f '{{.DefaultRuntime}} {{.Runtimes}}')" "rt map["
	is "$(run box sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)" err
}

test_exit_codes() {
	exits 0 run box true
	exits 7 run box sh -c 'exit 7'
	exits 137 run box sh -c 'sh -c "kill -9 \$\$"; exit $?'
	exits 127 run box /no/such/program
	has "$output" 'no such file or directory'
	exits 127 run box no-such-program
	has "$output" 'executable file not found in $PATH'
	exits 126 run box /etc/passwd
	has "$output" 'permission denied'
	exits 126 run box /etc
	exits 125 run --no-such-flag box true
	exits 127 run -v "$SCRATCH/empty:/mnt" box /mnt/nothing
}

test_programs_that_cannot_be_executed() {
	local name reason
	mkdir -p "$SCRATCH/bad"
	up one -v "$SCRATCH/bad:/bad" box sleep 100
	while read -r name reason; do
		ends_badly run -v "$SCRATCH/bad:/bad" box "/bad/$name"
		has "${output,,}" "$reason"
		up "$name" -v "$SCRATCH/bad:/bad" --restart on-failure:1 box "/bad/$name"
		restarted() { [[ $(inspect "$name" '{{.RestartCount}} {{.State.Status}}{{.State.Error}}') == '1 exited' ]]; }
		eventually restarted
		has "$(docker logs "$name" 2>&1 | tr '[:upper:]' '[:lower:]')" "$reason"
		ends_badly docker exec one "/bad/$name"
		has "${output,,}" "$reason"
	done < <(bad_programs)
}

test_terminal() {
	exits 3 script -qefc 'docker run --rm -it --net none box sh -c "tty; exit 3"' /dev/null
	has "$output" /dev/pts/0
	up one -t box sh -c 'while :; do sleep 1; done'
	exits 0 script -qefc 'docker exec -it one tty' /dev/null
	has "$output" /dev/pts/
}

test_detached_exec_logs_top() {
	up one --user 1000:1000 box sh -c 'echo started; exec sleep 100'
	eventually grep -q started <(docker logs one)
	is "$(docker exec one id -u)" 1000
	is "$(docker exec -u 0:5 -w /etc -e A=b one sh -c 'echo $(id -u):$(id -g) $(pwd) $A')" '0:5 /etc b'
	exits 5 docker exec one sh -c 'exit 5'
	# 126 and not 127: so says Docker 20.10 for exec, with every runtime.
	exits 126 docker exec one nothing-here
	has "$output" 'executable file not found in $PATH'
	exits 126 docker exec one /etc/passwd
	docker exec -d one sh -c 'touch /tmp/made; sleep 50'
	eventually docker exec one test -e /tmp/made
	has "$(docker top one)" 'sleep 100'
	has "$(docker top one -o pid,args)" 'sleep 50'
}

has_lines() { [[ $(docker logs "$1" | wc -l) -ge $2 ]]; }

test_stop_and_kill() {
	up one box sh -c 'trap "exit 9" TERM; trap "exit 10" USR1; echo ready; while :; do sleep 0.1; done'
	eventually grep -q ready <(docker logs one)
	docker stop -t 10 one
	is "$(inspect one '{{.State.ExitCode}}')" 9
	docker start one
	eventually has_lines one 2
	docker kill one
	is "$(docker wait one)" 137
	docker start one
	eventually has_lines one 3
	docker kill -s USR1 one
	is "$(docker wait one)" 10
	up stubborn box sh -c 'trap "" TERM; while :; do sleep 1; done'
	docker stop -t 0 stubborn
	is "$(inspect stubborn '{{.State.ExitCode}}')" 137
}

test_pause_and_unpause() {
	up one box sh -c 'while :; do date +%s%N >/tmp/now; sleep 0.05; done'
	eventually docker exec one test -s /tmp/now
	docker pause one
	is "$(inspect one '{{.State.Status}}')" paused
	exits 1 docker exec one true
	local merged first
	merged=$(inspect one '{{.GraphDriver.Data.MergedDir}}')
	first=$(cat "$merged/tmp/now")
	sleep 0.3
	is "$(cat "$merged/tmp/now")" "$first"
	docker unpause one
	changed() { [[ $(docker exec one cat /tmp/now) != "$first" ]]; }
	eventually changed
	docker pause one
	docker rm -f one
}

cgroup() { cat "/sys/fs/cgroup/$2/docker/$(inspect "$1" '{{.Id}}')/$3"; }

test_limits() {
	up one --memory 64m --memory-swap 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 20 \
		--blkio-weight 0 --ulimit nofile=100:200 --ulimit core=0 --shm-size 8m --oom-score-adj 500 box sleep 100
	is "$(cgroup one memory memory.limit_in_bytes)" $((64 << 20))
	is "$(cgroup one memory memory.soft_limit_in_bytes)" $((32 << 20))
	is "$(cgroup one cpu cpu.cfs_quota_us)" 50000
	is "$(cgroup one cpu cpu.shares)" 512
	is "$(cgroup one cpuset cpuset.cpus)" 0
	is "$(cgroup one pids pids.max)" 20
	is "$(docker exec one sh -c 'ulimit -n; ulimit -Hn; ulimit -c' | xargs)" '100 200 0'
	is "$(docker exec one cat /proc/1/oom_score_adj)" 500
	has "$(docker exec one df -k /dev/shm)" 8192
	exits 0 docker exec one grep Cpus_allowed_list:.0 /proc/self/status
	exits 2 run --pids-limit 3 box sh -c 'sleep 100 & sleep 100 & sleep 100 & sleep 100 & wait'
	has "$output" "can't fork"
}

test_block_devices() {
	local disk number
	for disk in /sys/block/*; do [[ ! -b /dev/${disk##*/} ]] || break; done
	number=$(cat "$disk/dev") disk=/dev/${disk##*/}
	up one --device-read-bps "$disk:1mb" --device-write-bps "$disk:2mb" --device-read-iops "$disk:100" \
		--device-write-iops "$disk:200" box sleep 100
	is "$(cgroup one blkio blkio.throttle.read_bps_device)" "$number $((1 << 20))"
	is "$(cgroup one blkio blkio.throttle.write_bps_device)" "$number $((2 << 20))"
	is "$(cgroup one blkio blkio.throttle.read_iops_device)" "$number 100"
	is "$(cgroup one blkio blkio.throttle.write_iops_device)" "$number 200"
	# Only a kernel with an I/O scheduler that weighs has the file; Docker itself drops the option without it.
	up two --blkio-weight 300 box sleep 100
	[[ ! -e /sys/fs/cgroup/blkio/blkio.weight ]] || is "$(cgroup two blkio blkio.weight)" 300
}

test_update() {
	up one --memory 64m --memory-swap 64m box sleep 100
	docker update --memory 96m --memory-swap 128m --cpus 0.25 --cpu-shares 300 --cpuset-cpus 1 --pids-limit 33 one
	is "$(cgroup one memory memory.limit_in_bytes)" $((96 << 20))
	is "$(cgroup one memory memory.memsw.limit_in_bytes 2>/dev/null || echo $((128 << 20)))" $((128 << 20))
	is "$(cgroup one cpu cpu.cfs_quota_us)/$(cgroup one cpu cpu.cfs_period_us)" 25000/100000
	is "$(cgroup one cpu cpu.shares)" 300
	is "$(cgroup one cpuset cpuset.cpus)" 1
	is "$(cgroup one pids pids.max)" 33
	docker update --memory-reservation 16m one
	is "$(cgroup one memory memory.soft_limit_in_bytes)" $((16 << 20))
	is "$(cgroup one memory memory.limit_in_bytes)" $((96 << 20))
	docker update --pids-limit -1 one
	is "$(cgroup one pids pids.max)" max
	docker update --memory 48m --memory-swap 48m one
	is "$(cgroup one memory memory.limit_in_bytes)" $((48 << 20))
	exits 1 docker update --cpuset-cpus 77 one
	docker update --restart always one
	is "$(inspect one '{{.HostConfig.RestartPolicy.Name}}')" always
	# Limits that were updated hold over a restart.
	docker restart -t 0 one
	is "$(cgroup one memory memory.limit_in_bytes)" $((48 << 20))
	is "$(cgroup one pids pids.max)" max
}

test_update_a_paused_container() {
	up one --memory 64m box sleep 100
	docker pause one
	docker update --cpu-shares 200 one
	is "$(cgroup one cpu cpu.shares)" 200
	is "$(inspect one '{{.State.Status}}')" paused
	docker unpause one
}

test_stats() {
	up one --memory 64m box sh -c 'while :; do :; done'
	local line
	line=$(docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}} {{.CPUPerc}}' one)
	has "$line" 'one '
	has "$line" '/ 64MiB 1 '
	hasnt "$line" ' 0.00%'
}

test_read_only_and_tmpfs() {
	exits 1 run --read-only box touch /x
	has "$output" 'Read-only file system'
	is "$(run --read-only --tmpfs /new:size=1m,mode=1770 box sh -c 'touch /new/x && stat -c %a /new')" 1770
	is "$(run --tmpfs /etc:rw,noexec box sh -c 'ls /etc/passwd 2>/dev/null; grep -c " /etc tmpfs.*noexec" /proc/mounts' || true)" 1
	exits 1 run --tmpfs /tmp:size=1m box dd if=/dev/zero of=/tmp/x bs=1M count=2
	is "$(run --mount type=tmpfs,dst=/new/dir box stat -fc %T /new/dir)" tmpfs
}

test_binds_and_volumes() {
	local dir=$SCRATCH/bind
	mkdir -p "$dir/sub"
	echo data >"$dir/file"
	is "$(run -v "$dir:/mnt" box cat /mnt/file)" data
	exits 1 run -v "$dir:/mnt:ro" box touch /mnt/x
	is "$(run -v "$dir/file:/new/place/file:ro" box cat /new/place/file)" data
	run -v "$dir:/mnt" box sh -c 'echo new >/mnt/made'
	is "$(cat "$dir/made")" new
	run -v vol:/root box sh -c 'echo kept >/root/file'
	is "$(run -v vol:/data box cat /data/file)" kept
	docker volume rm vol
	# Propagation: a mount made on the host afterwards arrives in the container, or does not.
	mount -t tmpfs tmpfs "$dir/sub"
	mount --make-shared "$dir/sub"
	up slave --mount "type=bind,src=$dir/sub,dst=/mnt,bind-propagation=rslave" box sleep 100
	up private -v "$dir/sub:/mnt" box sleep 100
	mkdir "$dir/sub/later"
	mount -t tmpfs tmpfs "$dir/sub/later"
	touch "$dir/sub/later/file"
	docker exec slave test -e /mnt/later/file
	exits 1 docker exec private test -e /mnt/later/file
	# And the other way round.
	up shared -v "$dir/sub:/mnt:rshared" --cap-add SYS_ADMIN --security-opt seccomp=unconfined box sleep 100
	docker exec shared sh -c 'mkdir /mnt/own && mount -t tmpfs tmpfs /mnt/own && touch /mnt/own/file'
	[[ -e $dir/sub/own/file ]]
	docker exec slave test -e /mnt/own/file
	clean_up
	umount -R "$dir/sub"
}

caps() { run "$@" box sh -c 'grep CapEff /proc/self/status' | cut -f2; }

test_capabilities() {
	is "$(caps)" 00000000a80425fb
	is "$(caps --cap-drop ALL)" 0000000000000000
	is "$(caps --cap-drop ALL --cap-add NET_BIND_SERVICE)" 0000000000000400
	is "$(caps --cap-add SYS_ADMIN --cap-drop mknod)" 00000000a02425fb
	is "$(caps --user 1000)" 0000000000000000
	exits 1 run --cap-drop CHOWN box chown 1 /etc/passwd
}

test_seccomp_and_no_new_privileges() {
	cat >"$SCRATCH/profile.json" <<-EOF
	{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
	"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}
	EOF
	exits 1 run --security-opt "seccomp=$SCRATCH/profile.json" box mkdir /x
	has "$output" 'No space left'
	is "$(run box grep Seccomp: /proc/self/status | cut -f2)" 2
	is "$(run --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status | cut -f2)" 0
	exits 1 run box unshare -m true
	is "$(run --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "$(run --user 1000 --security-opt no-new-privileges --security-opt "seccomp=$SCRATCH/profile.json" box \
		sh -c 'mkdir /tmp/x 2>/dev/null || id -u')" 1000
	up one --security-opt no-new-privileges --security-opt "seccomp=$SCRATCH/profile.json" box sleep 100
	exits 1 docker exec one mkdir /x
	has "$output" 'No space left'
	is "$(docker exec one grep NoNewPrivs /proc/self/status | cut -f2)" 1
}

# Docker asks for every capability that it knows (20.10: 38 of them); what whoever started it lacks, nobody can give.
test_privileged() {
	local all got
	all=$((0x$(grep CapBnd /proc/self/status | cut -f2))) got=$((0x$(caps --privileged)))
	is $((got & ~all)) 0
	is $((got & (1 << 38) - 1)) $((all & (1 << 38) - 1))
	run --privileged box sh -c 'mount -t tmpfs tmpfs /mnt && test -c /dev/net/tun && grep -q " /sys sysfs rw" /proc/mounts'
	is "$(run --privileged box grep Seccomp: /proc/self/status | cut -f2)" 0
	up one box sleep 100
	is "$(docker exec --privileged one grep CapEff /proc/self/status | cut -f2)" "$(printf %016x $got)"
}

# Docker in Docker: a privileged container, with the host's cgroup namespace or one of its own, has the machine's programs and a daemon
# with a disk of its own; the cgroups of its containers are below its own, where their limits hold.
test_docker_in_docker() {
	local mode inner outer dir docker=(docker exec outer docker --host unix:///run/inner.sock)
	for mode in host private; do
		mkdir -p "$SCRATCH/dind-$mode"
		# shellcheck disable=SC2046 # a command with its arguments
		up outer --privileged --cgroupns "$mode" --tmpfs /run --tmpfs /tmp -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro \
			-v /usr/bin:/bin:ro -v /usr/sbin:/sbin:ro -v "$SCRATCH/box.tar:/box.tar:ro" -v "$SCRATCH/dind-$mode:/var/lib/docker" \
			-e PATH=/usr/local/bin:/usr/bin:/usr/sbin box sh -c 'own=/sys/fs/cgroup
				if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
					own=$own$(sed s/0::// /proc/self/cgroup)
					mkdir $own/init && echo 1 >$own/init/cgroup.procs
				fi
				exec "$@" 2>&1' sh $(documented line dockerd) \
			--host unix:///run/inner.sock --storage-driver overlay2 --bridge none --iptables=false
		answers() { "${docker[@]}" version || ! status_is outer running; }
		eventually answers
		status_is outer running || { docker logs --tail 5 outer; fail "dockerd in a container has ended"; }
		"${docker[@]}" load -i /box.tar
		is "$("${docker[@]}" run --rm --net none box echo inside)" inside
		exits 7 "${docker[@]}" run --rm --net none box sh -c 'exit 7'
		outer=$(inspect outer '{{.Id}}')
		inner=$("${docker[@]}" run -d --net none --pids-limit 20 --name inner box sleep 100)
		is "$("${docker[@]}" exec inner hostname)" "${inner:0:12}"
		if [[ -e /sys/fs/cgroup/pids/docker/$outer ]]; then
			dir=/sys/fs/cgroup/pids/docker/$outer/docker/$inner
			is "$(cat "$dir/pids.max")" 20
			is "$(wc -l <"$dir/cgroup.procs")" 1
			exits 2 "${docker[@]}" exec inner sh -c 'for i in $(seq 20); do sleep 100 >/dev/null 2>&1 & done; wait'
			has "$output" "can't fork"
			"${docker[@]}" update --pids-limit 30 inner
			is "$(cat "$dir/pids.max")" 30
			exits 137 "${docker[@]}" run --rm --net none -m 16m --memory-swap 16m box tail /dev/zero
		fi
		"${docker[@]}" pause inner
		is "$("${docker[@]}" inspect -f '{{.State.Status}}' inner)" paused
		"${docker[@]}" unpause inner
		"${docker[@]}" rm -f inner
		is "$("${docker[@]}" ps -aq)" ''
		docker rm -f outer
	done
}

test_users() {
	is "$(run --user user box id)" 'uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)'
	is "$(run --user 1234:5678 --group-add 42 box sh -c 'echo $(id -u) $(id -g) $(id -G)')" '1234 5678 5678 42'
	exits 125 run --user nobody-of-this-name box true
	exits 0 run --user 1000 box sh -c 'echo x >/dev/stdout; echo y >/dev/stderr; : </dev/null'
}

test_init() {
	is "$(run --init box cat /proc/1/comm)" docker-init
	exits 3 run --init box sh -c 'exit 3'
	up one --init box sh -c '(sleep 0.1 &) ; exec sleep 100'
	docker stop -t 10 one
	is "$(inspect one '{{.State.ExitCode}}')" 143
}

test_shared_namespaces() {
	up one --ipc shareable -h one box sleep 1234
	has "$(run --pid container:one box ps)" 'sleep 1234'
	is "$(run --ipc container:one box readlink /proc/self/ns/ipc)" "$(docker exec one readlink /proc/self/ns/ipc)"
	is "$(docker run --rm --net container:one box readlink /proc/self/ns/net)" "$(docker exec one readlink /proc/self/ns/net)"
	is "$(run --pid host box readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)"
	is "$(run --ipc host box readlink /proc/self/ns/ipc)" "$(readlink /proc/self/ns/ipc)"
	is "$(run --uts host box hostname)" engines
	is "$(docker run --rm --net host box readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
	is "$(run --cgroupns private box readlink /proc/self/ns/cgroup | cut -d: -f1)" cgroup
	hasnt "$(run --cgroupns private box cat /proc/self/cgroup)" docker
	has "$(run --cgroupns host box cat /proc/self/cgroup)" docker
}

test_networks() {
	local address gateway
	docker run -d --name server -p 8080:80 box sh -c 'mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
	address=$(inspect server '{{.NetworkSettings.IPAddress}}')
	gateway=$(inspect server '{{.NetworkSettings.Gateway}}')
	eventually docker run --rm box wget -qO- "http://$address/"
	is "$(docker run --rm box wget -qO- "http://$address/")" page
	# The published port: from the host by both of its addresses, and from another container over the bridge.
	is "$(busybox wget -qO- "http://$gateway:8080/")" page
	is "$(busybox wget -qO- http://127.0.0.1:8080/)" page
	is "$(docker run --rm box wget -qO- "http://$gateway:8080/")" page
	is "$(docker run --rm --net container:server box wget -qO- http://127.0.0.1/)" page
	is "$(docker run --rm --net host box wget -qO- "http://$address/")" page
	is "$(docker run --rm --sysctl net.ipv4.ip_forward=0 box cat /proc/sys/net/ipv4/ip_forward)" 0
	is "$(run box ls /sys/class/net)" lo
	exits 1 run box wget -qO- "http://$address/"
}

test_containers_by_name() {
	docker network create lan >/dev/null
	docker run -d --net lan --name one box httpd -f -p 80 -h /etc >/dev/null
	docker run -d --net lan --name two --network-alias www box sh -c 'mkdir /w; echo two >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
	eventually docker exec one wget -qO- http://two/
	is "$(docker exec one wget -qO- http://two/)" two
	is "$(docker exec one wget -qO- http://www/)" two
	has "$(docker exec two wget -qO- http://one/passwd)" root
	docker network disconnect lan two
	exits 1 docker exec one wget -qO- http://two/
	docker network connect lan two
	eventually docker exec one wget -qO- http://two/
	docker rm -f one two
	docker network rm lan
}

# A second daemon in a network of its own, with the options on its command line; its containers' root is an ordinary user of the host.
test_userns_remap() {
	local dir=$SCRATCH/remap docker=(docker --host unix:///run/remap.sock) daemon
	mkdir -p "$dir/shared"
	chmod 0777 "$dir/shared"
	echo '{}' >"$dir/daemon.json"
	# shellcheck disable=SC2046 # a command with its arguments
	unshare --net $(documented line dockerd) --config-file "$dir/daemon.json" --host unix:///run/remap.sock --data-root "$dir/data" --exec-root /run/remap \
		--pidfile /run/remap.pid --bridge none --iptables=false --storage-driver overlay2 --userns-remap tester >"$dir/log" 2>&1 &
	daemon=$!
	eventually "${docker[@]}" version
	"${docker[@]}" load -i "$SCRATCH/box.tar"
	remapped() { "${docker[@]}" run --rm --net none "$@"; }
	is "$(remapped box cat /proc/self/uid_map | xargs)" '0 200000 65536'
	is "$(remapped --user user box id)" 'uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)'
	remapped -v "$dir/shared:/mnt" box sh -c 'touch /mnt/root; chown 1000 /mnt/root; touch /mnt/other'
	is "$(stat -c %u "$dir/shared/root" "$dir/shared/other" | xargs)" '201000 200000'
	is "$(remapped --read-only --tmpfs /new box stat -c %u /new /etc/passwd /dev/shm | xargs)" '0 0 0'
	is "$(remapped --memory 64m --pids-limit 20 --security-opt no-new-privileges --init box echo limits)" limits
	exits 7 "${docker[@]}" run --rm --net none --userns host box sh -c 'cut -c-22 /proc/self/uid_map; exit 7'
	"${docker[@]}" run -d --net none --name one box sleep 100
	is "$(stat -c %u "/proc/$("${docker[@]}" inspect -f '{{.State.Pid}}' one)")" 200000
	is "$("${docker[@]}" exec -u 5 one id -u)" 5
	exits 0 script -qefc 'docker --host unix:///run/remap.sock exec -it one tty' /dev/null
	has "$output" /dev/pts/
	"${docker[@]}" cp one:/etc/passwd "$dir/passwd"
	"${docker[@]}" rm -f one
	kill "$daemon"
	wait "$daemon" || true
	is "$(left_of_runtime /run/remap/runtime-rt/moby)" ''
}

test_healthcheck() {
	up one --health-cmd 'test -e /tmp/healthy' --health-interval 0.3s --health-retries 2 --health-start-period 0s box sleep 100
	health_is() { [[ $(inspect one '{{.State.Health.Status}}') == "$1" ]]; }
	eventually health_is unhealthy
	docker exec one touch /tmp/healthy
	eventually health_is healthy
}

test_restart_policies() {
	up one --restart on-failure:2 box sh -c 'echo run; exit 1'
	times_is() { [[ $(inspect one '{{.RestartCount}} {{.State.Status}}') == "$1" ]]; }
	eventually times_is '2 exited'
	is "$(docker logs one | wc -l)" 3
	up two --restart always box sleep 0.2
	restarted() { [[ $(inspect two '{{.RestartCount}}') -ge 2 ]]; }
	eventually restarted
	docker restart -t 0 two
	up three --restart unless-stopped box sleep 100
	kill -KILL "$(inspect three '{{.State.Pid}}')"
	back() { [[ $(inspect three '{{.RestartCount}} {{.State.Status}}') == '1 running' ]]; }
	eventually back
	docker stop -t 0 three
	is "$(inspect three '{{.RestartCount}} {{.State.Status}}')" '1 exited'
	up four --restart no box false
	gone() { [[ $(inspect four '{{.RestartCount}} {{.State.Status}}') == '0 exited' ]]; }
	eventually gone
}

test_out_of_memory() {
	exits 137 run -m 16m --memory-swap 16m box tail /dev/zero
	# Docker hears of it some time after it happened, with every runtime: the container must live on for a moment.
	exits 9 docker run --name one --net none -m 16m --memory-swap 16m box sh -c 'tail /dev/zero; sleep 1; exit 9'
	is "$(inspect one '{{.State.OOMKilled}} {{.State.ExitCode}}')" 'true 9'
	up two -m 16m --memory-swap 16m box sleep 100
	exits 137 docker exec two tail /dev/zero
	is "$(inspect two '{{.State.Running}}')" true
}

test_devices_and_sysctls() {
	is "$(run --device /dev/net/tun:/dev/other:r box sh -c 'test -c /dev/other && : </dev/other && echo read')" read
	exits 1 run --device /dev/net/tun:/dev/other:r box sh -c 'echo x >/dev/other'
	is "$(run --device /dev/net/tun:/dev/other:w box sh -c ': >/dev/other && echo written')" written
	is "$(run --device-cgroup-rule 'c 1:3 rwm' --sysctl kernel.msgmax=4096 box cat /proc/sys/kernel/msgmax)" 4096
	exits 1 run box sh -c 'mknod /tmp/disk b 254 0 && head -c1 /tmp/disk'
	exits 1 run box sh -c 'echo 1 >/proc/sys/kernel/msgmax'
	is "$(run box sh -c 'cat /proc/keys | wc -c')" 0
}

test_build() {
	mkdir -p "$SCRATCH/build"
	cat >"$SCRATCH/build/Dockerfile" <<-'EOF'
	FROM box
	ENV A=b
	COPY file /file
	RUN mkdir /made && echo $A >/made/file && chown 1000 /made/file
	USER user
	WORKDIR /made
	RUN id -u >/tmp/id
	SHELL ["/bin/sh", "-ec"]
	RUN false || cat /file
	CMD ["sh", "-c", "cat file /tmp/id"]
	EOF
	echo content >"$SCRATCH/build/file"
	DOCKER_BUILDKIT=0 docker build --network none -t built "$SCRATCH/build"
	is "$(run built | xargs)" 'b 1000'
	printf 'FROM box\nRUN exit 4\n' >"$SCRATCH/build/Dockerfile"
	DOCKER_BUILDKIT=0 exits 4 docker build --network none "$SCRATCH/build"
	docker rmi -f built
}

test_cp_diff_commit() {
	echo copied >"$SCRATCH/copied"
	up one box sleep 100
	docker cp "$SCRATCH/copied" one:/tmp/copied
	is "$(docker exec one cat /tmp/copied)" copied
	docker cp one:/etc/passwd "$SCRATCH/passwd"
	grep -q root "$SCRATCH/passwd"
	has "$(docker diff one)" 'A /tmp/copied'
	docker commit -c 'CMD ["cat","/tmp/copied"]' one committed
	is "$(run committed)" copied
	docker rmi -f committed
}

test_many_at_once() {
	local i pids=()
	for i in 1 2 3 4 5 6; do up "c$i" box sleep 100 & pids+=($!); done
	for i in "${pids[@]}"; do wait "$i"; done
	for i in 1 2 3 4 5 6; do docker exec "c$i" true; done
	docker rm -f c1 c2 c3 c4 c5 c6
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime /run/docker/runtime-*/moby) ]]; }
	eventually none_left
	is "$(left_of_runtime /run/docker/runtime-*/moby)" ''
	is "$(groups_below docker)" ''
}
