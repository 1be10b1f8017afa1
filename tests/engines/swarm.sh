#!/bin/bash
# A swarm of two Docker Engines, a manager and a worker, each in a network namespace of its own.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

start_engine() {
	ip netns add worker
	ip link add manager0 type veth peer name worker0 netns worker
	ip addr add 10.99.0.1/24 dev manager0
	ip link set manager0 up
	ip -n worker addr add 10.99.0.2/24 dev worker0
	ip -n worker link set worker0 up
	ip -n worker link set lo up
	configure /etc/docker/daemon.json
	dockerd --host unix:///run/docker.sock --storage-driver overlay2 >"$SCRATCH/log" 2>&1 &
	echo '{}' >"$SCRATCH/empty.json"
	# Not by ip netns exec, which would give it a /sys without cgroups.
	# shellcheck disable=SC2046 # a command with its arguments
	nsenter --net=/run/netns/worker unshare --uts sh -c 'hostname worker && exec "$@"' - $(documented line dockerd) \
		--config-file "$SCRATCH/empty.json" --host unix:///run/worker.sock --data-root /var/lib/docker/worker --exec-root /run/worker \
		--pidfile /run/worker.pid --storage-driver overlay2 >"$SCRATCH/log.worker" 2>&1 &
	eventually docker version
	eventually worker version
	docker load -i "$SCRATCH/box.tar"
	worker load -i "$SCRATCH/box.tar"
	docker swarm init --advertise-addr 10.99.0.1
	worker swarm join --token "$(docker swarm join-token -q worker)" 10.99.0.1:2377
}
engine_version() { docker version --format 'Docker {{.Server.Version}}'; }
clean_up() {
	local all
	docker node update --availability active worker
	mapfile -t all < <(docker service ls -q)
	[[ ${#all[@]} -eq 0 ]] || docker service rm "${all[@]}"
	mapfile -t all < <(docker ps -aq)
	[[ ${#all[@]} -eq 0 ]] || docker rm -f "${all[@]}"
	mapfile -t all < <(worker ps -aq)
	[[ ${#all[@]} -eq 0 ]] || worker rm -f "${all[@]}"
}

worker() { docker --host unix:///run/worker.sock "$@"; }
# service NAME [FLAG ...] IMAGE [COMMAND ...]. There is no registry to resolve the image, and not every kernel has IPVS.
service() {
	local name=$1
	shift
	docker service create --detach --name "$name" --no-resolve-image --endpoint-mode dnsrr --stop-grace-period 1s --restart-delay 100ms \
		--update-delay 0s --update-monitor 1s "$@"
}
# tasks NAME: "NODE STATE" of those that should run
tasks() { docker service ps -f desired-state=running --format '{{.Node}} {{.CurrentState}}' "$1"; }
running() { [[ $(tasks "$1" | grep -c ' Running') == "$2" && $(tasks "$1" | wc -l) == "$2" ]]; }
on() { tasks "$1" | grep -c "^$2 Running" || true; }
# first COMMAND ...: in the service's container on the manager
first() { docker exec "$(docker ps -q | head -n1)" "$@"; }

test_replicated_service() {
	service web --replicas 4 --limit-memory 64m --limit-cpu 0.5 --limit-pids 30 --user user --env A=b --read-only --init \
		--hostname '{{.Node.Hostname}}-{{.Task.Slot}}' --mount type=tmpfs,dst=/scratch --ulimit nofile=100:200 --cap-drop CHOWN box sleep 1000
	eventually running web 4
	is "$(on web engines) $(on web worker)" '2 2'
	is "$(first sh -c 'id -u; echo $A; ulimit -n' | xargs)" '1000 b 100'
	has "$(first hostname)" engines-
	exits 1 first touch /x
	first touch /scratch/x
	is "$(cat "/sys/fs/cgroup/memory/docker/$(docker ps -q --no-trunc | head -n1)/memory.limit_in_bytes")" $((64 << 20))
	has "$(docker service ls --format '{{.Replicas}}')" 4/4
}

test_secrets_and_configs() {
	echo hidden | docker secret create word - >/dev/null
	echo shown | docker config create file - >/dev/null
	service reader --user user --secret source=word,target=word,uid=1000,mode=0400 --config source=file,target=/etc/file box \
		sh -c 'cat /run/secrets/word /etc/file; sleep 1000'
	eventually running reader 1
	wrote() { [[ $(docker service logs --raw reader | xargs) == 'hidden shown' ]]; }
	eventually wrote
	docker service rm reader
	forgotten() { docker secret rm word && docker config rm file; }
	eventually forgotten
}

test_scale() {
	service web --replicas 1 box sleep 1000
	eventually running web 1
	docker service scale --detach web=6
	eventually running web 6
	docker service scale --detach web=2
	eventually running web 2
	fewer() { [[ $(docker ps -q | wc -l) -eq 1 && $(worker ps -q | wc -l) -eq 1 ]]; }
	eventually fewer
	docker service scale --detach web=0
	none() { [[ -z $(docker ps -q) && -z $(worker ps -q) ]]; }
	eventually none
}

update_is() { [[ $(docker service inspect -f '{{.UpdateStatus.State}}' "$1") == "$2" ]]; }
# variables: of all containers on both nodes, "COUNT VALUE ..."
variables() {
	local id
	{
		for id in $(docker ps -q); do docker exec "$id" sh -c 'echo $V'; done
		for id in $(worker ps -q); do worker exec "$id" sh -c 'echo $V'; done
	} | sort | uniq -c | xargs
}
variables_are() { [[ $(variables) == "$1" ]]; }

test_rolling_update() {
	service web --replicas 4 --env V=1 box sleep 1000
	eventually running web 4
	is "$(variables)" '4 1'
	docker service update --detach --no-resolve-image --env-add V=2 --update-parallelism 1 --update-order start-first web
	eventually update_is web completed
	eventually running web 4
	eventually variables_are '4 2' # the old ones end after the new ones have begun
	# One that cannot start is taken back, and by its own error.
	docker service update --detach --no-resolve-image --args no-such-program --update-failure-action rollback web
	eventually update_is web rollback_completed
	eventually running web 4
	is "$(docker service inspect -f '{{.Spec.TaskTemplate.ContainerSpec.Args}}' web)" '[sleep 1000]'
	has "$(docker service ps --no-trunc --format '{{.Error}}' web)" 'executable file not found in $PATH'
}

test_node_drain() {
	service web --replicas 4 box sleep 1000
	eventually running web 4
	docker node update --availability drain worker
	moved() { [[ $(on web engines) == 4 && -z $(worker ps -q) ]]; }
	eventually moved
	docker node update --availability active worker
	service all --mode global box sleep 1000
	eventually running all 2
	is "$(on all engines) $(on all worker)" '1 1'
}

test_a_task_that_dies() {
	service web --replicas 2 box sleep 1000
	eventually running web 2
	kill -KILL "$(worker inspect -f '{{.State.Pid}}' "$(worker ps -q)")"
	replaced() { [[ $(docker service ps -q web | wc -l) == 3 ]] && running web 2; }
	eventually replaced
	service sick --health-cmd false --health-interval 0.2s --health-retries 1 --health-start-period 0s box sleep 1000
	gave_up() { docker service ps --no-trunc --format '{{.Error}}' sick | grep -q unhealthy; }
	eventually gave_up
}

test_nothing_left() {
	clean_up
	local states=(/run/docker/runtime-*/moby /run/worker/runtime-*/moby)
	none_left() { [[ -z $(left_of_runtime "${states[@]}") ]]; }
	eventually none_left
	is "$(left_of_runtime "${states[@]}")" ''
	is "$(groups_below docker)" ''
}
