#!/bin/bash
# Podman and buildah as an ordinary user: no privileges but those of newuidmap, and no cgroups, for on v1 nobody delegates them.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

home=/home/tester

# user COMMAND ...: as tester, in a session of its own
user() {
	setpriv --reuid tester --regid tester --init-groups env -C $home -i PATH="$PATH" HOME=$home USER=tester LANG=C.UTF-8 TERM=dumb \
		XDG_RUNTIME_DIR=/run/user/4321 "$@"
}
podman() { user podman "$@"; }
buildah() { user buildah "$@"; }

start_engine() {
	configure_containers
	rm /etc/containers/storage.conf
	mkdir -p $home/.config/containers $home/build
	printf '[storage]\ndriver = "overlay"\n' >$home/.config/containers/storage.conf
	# shellcheck disable=SC2088 # so it is written there
	documented file '~/.config/containers/containers.conf' >$home/.config/containers/containers.conf
	# Open to all, as udev makes it, for slirp4netns.
	mknod -m 0666 "$SCRATCH/tun" c 10 200
	mount --bind "$SCRATCH/tun" /dev/net/tun
	chmod 0644 "$SCRATCH"/*.tar
	chown -R tester:tester $home
	podman load -i "$SCRATCH/box.tar"
	load_pause podman
	podman run --rm --net none box true
}
engine_version() { podman version --format 'Podman {{.Client.Version}}'; }
clean_up() {
	podman pod rm -fa -t 0
	podman rm -fa -t 0
	buildah rm -a
}

run() { podman run --rm --net none "$@"; }
up() { local name=$1; shift; podman run -d --net none --name "$name" "$@" >/dev/null; }
inspect() { podman inspect -f "$2" "$1"; }
owner() { stat -c %u "$@" | xargs; }

test_run() {
	is "$(podman info -f '{{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}}')" 'true rt'
	is "$(run box echo hello)" hello
	is "$(echo from outside | run -i box cat)" 'from outside'
	is "$(run box id -u)" 0
	is "$(run box cat /proc/self/uid_map | xargs)" '0 4321 1 1 200000 65536'
	is "$(run --user user box id)" 'uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)'
	is "$(run -e A=b -w /tmp -h name box sh -c 'echo $A $(pwd) $(hostname)')" 'b /tmp name'
	is "$(run --userns keep-id box id -u)" 4321
	is "$(run --uidmap 0:1:1000 box cat /proc/self/uid_map | xargs)" '0 1 1000'
	exits 3 script -qefc "$(declare -f user); home=$home; user podman run --rm -it --net none box sh -c 'sleep 0.5; tty; sleep 0.5; exit 3'" /dev/null
	has "$output" /dev/pts/0
}

test_exit_codes() {
	exits 7 run box sh -c 'exit 7'
	exits 137 run box sh -c 'sh -c "kill -9 \$\$"; exit $?'
	exits 127 run box no-such-program
	exits 126 run box /etc/passwd
}

test_exec_logs_top() {
	up one --user 1000:1000 box sh -c 'echo started; exec sleep 100'
	has_started() { [[ $(podman logs one) == started ]]; }
	eventually has_started
	is "$(owner "/proc/$(inspect one '{{.State.Pid}}')")" 200999
	is "$(podman exec one id -u)" 1000
	is "$(podman exec -u 0:5 -w /etc -e A=b one sh -c 'echo $(id -u):$(id -g) $(pwd) $A')" '0:5 /etc b'
	exits 5 podman exec one sh -c 'exit 5'
	exits 127 podman exec one nothing-here
	podman exec -d one sh -c 'touch /tmp/made; sleep 50'
	eventually podman exec one test -e /tmp/made
	has "$(podman top one args)" 'sleep 100'
}

test_stop_kill_restart() {
	up one box sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
	is_ready() { [[ -n $(podman logs one) ]]; }
	eventually is_ready
	podman stop -t 20 one
	is "$(inspect one '{{.State.ExitCode}}')" 9
	podman start one
	podman kill one
	is "$(podman wait one)" 137
	podman start one
	podman restart -t 0 one
	podman rm -f -t 0 one
}

test_mounts() {
	install -d -o tester -g tester $home/bind
	run -v $home/bind:/mnt box sh -c 'touch /mnt/root /mnt/user; chown 1000 /mnt/user'
	is "$(owner $home/bind/root $home/bind/user)" '4321 200999'
	exits 1 run -v $home/bind:/mnt:ro box touch /mnt/x
	run -v $home/bind:/mnt:O box rm /mnt/user
	[[ -e $home/bind/user ]]
	is "$(run -v vol:/etc box sh -c 'echo kept >/etc/kept'; run -v vol:/data box cat /data/kept)" kept
	podman volume rm vol
	exits 1 run --read-only box touch /x
	run --read-only box touch /tmp/x
	is "$(run --tmpfs /etc box stat -c %u /etc/passwd)" 0
	is "$(run --device /dev/net/tun box sh -c 'test -c /dev/net/tun && echo there')" there
}

test_security() {
	is "$(run box grep Seccomp: /proc/self/status | cut -f2)" 2
	is "$(run --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "$(run --cap-drop ALL --cap-add CHOWN box grep CapEff /proc/self/status | cut -f2)" 0000000000000001
	run --privileged box sh -c 'mount -t tmpfs tmpfs /mnt'
	exits 1 run --privileged box sh -c "echo 1 >/proc/sys/kernel/pid_max"
	is "$(run --sysctl kernel.msgmax=4096 box cat /proc/sys/kernel/msgmax)" 4096
	exits 1 run -v /etc:/mnt box sh -c 'echo x >>/mnt/passwd'
}

# The network is slirp4netns, which a program without privileges makes; the port is forwarded by Podman itself.
test_networks() {
	podman run -d --name web -p 127.0.0.1:8082:80 box sh -c 'mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
	eventually busybox wget -qO- http://127.0.0.1:8082/
	is "$(busybox wget -qO- http://127.0.0.1:8082/)" page
	has "$(podman exec web ip -4 addr show tap0)" 10.0.2.
	is "$(podman run --rm --net container:web box wget -qO- http://127.0.0.1/)" page
}

test_pods() {
	podman pod create --name pod --share net,ipc,uts --hostname pod --network none >/dev/null
	podman run -d --pod pod --name one box httpd -f -p 80 -h /etc >/dev/null
	podman run -d --pod pod --name two box sleep 1000 >/dev/null
	has "$(podman exec two wget -qO- http://127.0.0.1/passwd)" root
	is "$(podman exec two hostname)" pod
	podman generate kube pod >"$SCRATCH/pod.yaml"
	chmod 0644 "$SCRATCH/pod.yaml"
	podman pod stop -t 0 pod
	podman pod start pod
	is "$(inspect two '{{.State.Status}}')" running
	podman pod rm -f -t 0 pod
	podman play kube --network none "$SCRATCH/pod.yaml"
	has "$(podman exec pod-two wget -qO- http://127.0.0.1/passwd)" root
	podman play kube --down "$SCRATCH/pod.yaml"
}

test_healthcheck() {
	up one --health-cmd 'test -e /tmp/healthy' --health-retries 1 --health-interval disable box sleep 100
	exits 1 podman healthcheck run one
	podman exec one touch /tmp/healthy
	exits 0 podman healthcheck run one
}

test_podman_build() {
	printf 'FROM box\nRUN mkdir /made && echo b >/made/file\nUSER user\nRUN id -u >/tmp/id\nCMD cat /made/file /tmp/id\n' \
		>$home/build/Dockerfile
	podman build --runtime "$RUNTIME" --isolation oci --net none -t built $home/build
	is "$(run built | xargs)" 'b 1000'
}

test_buildah() {
	local c
	c=$(buildah from --pull-never docker.io/library/box)
	# shellcheck disable=SC2046 # a command with its arguments
	in_it() { user $(documented line 'buildah run') --network none "$c" "$@"; }
	is "$(in_it echo hello)" hello
	exits 7 in_it sh -c 'exit 7'
	in_it sh -c 'echo kept >/kept; chown 1000 /kept'
	buildah commit -q "$c" committed
	is "$(run committed stat -c %u /kept)" 1000
	printf 'FROM committed\nRUN --mount=type=tmpfs,target=/scratch touch /scratch/x && cp /kept /made\nUSER user\nRUN id -u >/tmp/id\n' \
		>$home/build/Dockerfile
	# shellcheck disable=SC2046
	user $(documented line 'buildah bud') --network none -t built $home/build
	is "$(run built cat /made /tmp/id | xargs)" 'kept 1000'
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime "/run/user/4321/$RUNTIME_NAME") ]]; }
	eventually none_left
	is "$(left_of_runtime "/run/user/4321/$RUNTIME_NAME")" ''
}
