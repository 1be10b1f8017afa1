package bundle

import (
	"fmt"
	"strings"
)

var documentRules = []rule{
	{`{"ociVersion":null}`, "/ociVersion", "must not be empty", `{"ociVersion":"1.0.0"}`},
	{`{"ociVersion":"0.9.0"}`, "/ociVersion", "not supported", `{"ociVersion":"1.0.2-dev"}`},
	{`{"ociVersion":"2.0.0"}`, "/ociVersion", "not supported", `{"ociVersion":"1.99.0-rc.1+build.5"}`},
	{`{"ociVersion":"1.0"}`, "/ociVersion", "not a version", `{"ociVersion":"1.0.0+x"}`},
	{`{"ociVersion":"1.02.0"}`, "/ociVersion", "not a version", `{"ociVersion":"1.20.0"}`},
	{`{"ociVersion":"1.0.0-"}`, "/ociVersion", "not a version", `{"ociVersion":"1.0.0--"}`},
	{`{"ociVersion":"1.0.0-a b"}`, "/ociVersion", "not a version", `{"ociVersion":"1.0.0-a-b"}`},
	{`{"ociVersion":"v1.0.0"}`, "/ociVersion", "not a version", `{}`},
	{`{"root":null}`, "/root", "root must be specified", `{}`},
	{`{"root":{"path":""}}`, "/root/path", "must not be empty", `{"root":{"path":"../rootfs"}}`},
	{`{"root":{"path":"a\u0000b"}}`, "/root/path", "NUL", `{"root":{"path":"a\\u0000b"}}`},
	{`{"root":{"readonly":true},"linux":{"namespaces":[]}}`, "/root/readonly", "unable to make rootfs read-only without a private MNT namespace", `{"root":{"readonly":true}}`},
	{`{"root":{"readonly":true},"linux":null}`, "/root/readonly", "private MNT namespace", `{"linux":null}`},
	{`{"hostname":"h","linux":{"namespaces":[]}}`, "/hostname", "unable to set hostname without a private UTS namespace", `{"hostname":"h","linux":{"namespaces":[{"type":"uts","path":"/proc/5/ns/uts"}]}}`},
	{`{"domainname":"h","linux":{"namespaces":[]}}`, "/domainname", "unable to set domainname without a private UTS namespace", `{"domainname":"h"}`},
	{`{"hostname":"` + strings.Repeat("h", 65) + `"}`, "/hostname", "longer", `{"hostname":"` + strings.Repeat("h", 64) + `"}`},
	{`{"domainname":"` + strings.Repeat("h", 65) + `"}`, "/domainname", "longer", `{"domainname":"` + strings.Repeat("h", 64) + `"}`},
	{`{"annotations":{"":"x"}}`, "/annotations/", "name of an annotation", `{"annotations":{"x":""}}`},
	{`{"annotations":{"x":"\u0000"}}`, "/annotations/x", "NUL", `{"annotations":{"x":"\u0001"}}`},
	{`{"windows":{"layerFolders":["x"]}}`, "/windows", "warning: another platform", `{}`},
	{`{"solaris":{"milestone":"x"}}`, "/solaris", "warning: another platform", `{}`},
	{`{"vm":{"kernel":{"path":"/x"}}}`, "/vm", "warning: another platform", `{}`},
	{`{"zos":{"namespaces":[{"type":"pid"}]}}`, "/zos", "warning: another platform", `{}`},
	{`{"freebsd":{"jail":{"host":"new"}}}`, "/freebsd", "warning: another platform", `{}`},
	{`{"hooks":{"prestart":[{"path":""}]}}`, "/hooks/prestart/0/path", "must not be empty", `{"hooks":{"prestart":[{"path":"/x"}]}}`},
	{`{"hooks":{"createRuntime":[{"path":"/x"},{"path":"x"}]}}`, "/hooks/createRuntime/1/path", "absolute", `{"hooks":{"createRuntime":[{"path":"/x"}]}}`},
	{`{"hooks":{"createContainer":[{"path":"./x"}]}}`, "/hooks/createContainer/0/path", "absolute", `{"hooks":{"createContainer":[{"path":"/x"}]}}`},
	{`{"hooks":{"startContainer":[{"path":"/x","timeout":0}]}}`, "/hooks/startContainer/0/timeout", "greater than zero", `{"hooks":{"startContainer":[{"path":"/x","timeout":1}]}}`},
	{`{"hooks":{"poststart":[{"path":"/x","timeout":-5}]}}`, "/hooks/poststart/0/timeout", "greater than zero", `{"hooks":{"poststart":[{"path":"/x"}]}}`},
	{`{"hooks":{"poststop":[{"path":"../x"}]}}`, "/hooks/poststop/0/path", "absolute", `{"hooks":{"poststop":[{"path":"/../x"}]}}`},
}

const capsAll = `"bounding":["CAP_KILL"],"permitted":["CAP_KILL"],"inheritable":["CAP_KILL"],"effective":["CAP_KILL"],"ambient":["CAP_KILL"]`

var processRules = []rule{
	{`{"process":null}`, "/process", "process property must not be empty", `{}`},
	{`{"process":{"args":[]}}`, "/process/args", "args must not be empty", `{"process":{"args":["a",""]}}`},
	{`{"process":{"args":null}}`, "/process/args", "args must not be empty", `{}`},
	{`{"process":{"args":["sh","\u0000"]}}`, "/process/args/1", "NUL", `{"process":{"args":["sh","\\0"]}}`},
	{`{"process":{"cwd":"."}}`, "/process/cwd", "Cwd must be an absolute path", `{"process":{"cwd":"/a/../b"}}`},
	{`{"process":{"cwd":""}}`, "/process/cwd", "Cwd property must not be empty", `{}`},
	{`{"process":{"env":["A=b","SECRET"]}}`, "/process/env/1", "missing '='", `{"process":{"env":["A=b","SECRET="]}}`},
	{`{"process":{"env":["=b"]}}`, "/process/env/0", "name cannot be empty", `{"process":{"env":["b=="]}}`},
	{`{"process":{"env":["A=\u0000b"]}}`, "/process/env/0", "NUL", `{"process":{"env":["A=\nb"]}}`},
	{`{"process":{"user":{"uid":4294967295}}}`, "/process/user/uid", "not a user id", `{"process":{"user":{"uid":4294967294}}}`},
	{`{"process":{"user":{"gid":4294967295}}}`, "/process/user/gid", "not a group id", `{"process":{"user":{"gid":4294967294}}}`},
	{`{"process":{"user":{"additionalGids":[1,4294967295]}}}`, "/process/user/additionalGids/1", "not a group id", `{"process":{"user":{"additionalGids":[1,1]}}}`},
	{`{"process":{"user":{"additionalGids":[1` + strings.Repeat(",1", 65536) + `]}}}`, "/process/user/additionalGids", "65537 groups", `{"process":{"user":{"additionalGids":[1` + strings.Repeat(",1", 65535) + `]}}}`},
	{`{"process":{"user":{"umask":512}}}`, "/process/user/umask", "warning: larger than 511", `{"process":{"user":{"umask":511}}}`},
	{`{"process":{"user":{"username":"x"}}}`, "/process/user/username", "warning: another platform", `{}`},
	{`{"process":{"commandLine":"x"}}`, "/process/commandLine", "warning: another platform", `{}`},
	{`{"process":{"oomScoreAdj":1001}}`, "/process/oomScoreAdj", "from -1000 to 1000", `{"process":{"oomScoreAdj":1000}}`},
	{`{"process":{"oomScoreAdj":-1001}}`, "/process/oomScoreAdj", "from -1000 to 1000", `{"process":{"oomScoreAdj":-1000}}`},
	{`{"process":{"terminal":true,"consoleSize":{"height":65536,"width":1}}}`, "/process/consoleSize/height", "65535", `{"process":{"consoleSize":{"height":65536,"width":1}}}`},
	{`{"process":{"terminal":true,"consoleSize":{"height":1,"width":65536}}}`, "/process/consoleSize/width", "65535", `{"process":{"terminal":true,"consoleSize":{"height":0,"width":65535}}}`},
	{`{"process":{"rlimits":[{"type":"RLIMIT_X","soft":2,"hard":1}]}}`, "/process/rlimits/0/type", "wrong rlimit value: RLIMIT_X", `{"process":{"rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":2}]}}`},
	{`{"process":{"rlimits":[{"type":"nofile","soft":1,"hard":1}]}}`, "/process/rlimits/0/type", "wrong rlimit value: nofile", allRlimits(1)},
	{`{"process":{"rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":1},{"type":"RLIMIT_AS","soft":1,"hard":1}]}}`, "/process/rlimits/1/type", "more than once", `{"process":{"rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":1},{"type":"RLIMIT_RSS","soft":1,"hard":1}]}}`},
	{`{"process":{"rlimits":[{"type":"RLIMIT_AS","soft":2,"hard":1}]}}`, "/process/rlimits/0/soft", "above its hard limit", `{"process":{"rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":18446744073709551615}]}}`},

	{`{"process":{"capabilities":{"bounding":["CAP_KILL","KILL"]}}}`, "/process/capabilities/bounding/1", "warning: unknown capability", `{"process":{"capabilities":{` + capsAll + `}}}`},
	{`{"process":{"capabilities":{"permitted":["CAP_X"]}}}`, "/process/capabilities/permitted/0", "warning: unknown capability", `{"process":{"capabilities":{}}}`},
	{`{"process":{"capabilities":{"effective":["CAP_KILL"]}}}`, "/process/capabilities/effective/0", "warning: not in permitted", `{"process":{"capabilities":{"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}}}`},
	{`{"process":{"capabilities":{"inheritable":["CAP_KILL"]}}}`, "/process/capabilities/inheritable/0", "warning: not in bounding", `{"process":{"capabilities":{"bounding":["CAP_KILL"],"inheritable":["CAP_KILL"]}}}`},
	{`{"process":{"capabilities":{"permitted":["CAP_KILL"],"ambient":["CAP_KILL"]}}}`, "/process/capabilities/ambient/0", "warning: not in both", `{"process":{"capabilities":{` + capsAll + `}}}`},

	{`{"process":{"scheduler":{"policy":""}}}`, "/process/scheduler/policy", "unknown scheduling policy", `{"process":{"scheduler":{"policy":"SCHED_OTHER"}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_ISO"}}}`, "/process/scheduler/policy", "SCHED_ISO", `{"process":{"scheduler":{"policy":"SCHED_IDLE"}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_OTHER","nice":20}}}`, "/process/scheduler/nice", "from -20 to 19", `{"process":{"scheduler":{"policy":"SCHED_BATCH","nice":19}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_OTHER","nice":-21}}}`, "/process/scheduler/nice", "from -20 to 19", `{"process":{"scheduler":{"policy":"SCHED_OTHER","nice":-20}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_OTHER","priority":1}}}`, "/process/scheduler/priority", "only SCHED_FIFO", `{"process":{"scheduler":{"policy":"SCHED_RR","priority":1}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_FIFO"}}}`, "/process/scheduler/priority", "from 1 to 99", `{"process":{"scheduler":{"policy":"SCHED_FIFO","priority":99}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_FIFO","priority":100}}}`, "/process/scheduler/priority", "from 1 to 99", `{"process":{"scheduler":{"policy":"SCHED_FIFO","priority":1}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_RESET_ON_FORK","X"]}}}`, "/process/scheduler/flags/1", "unknown scheduling flag", `{"process":{"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_RESET_ON_FORK","SCHED_FLAG_RECLAIM","SCHED_FLAG_DL_OVERRUN","SCHED_FLAG_KEEP_POLICY","SCHED_FLAG_KEEP_PARAMS","SCHED_FLAG_UTIL_CLAMP_MIN","SCHED_FLAG_UTIL_CLAMP_MAX"]}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_OTHER","runtime":5}}}`, "/process/scheduler", "only for SCHED_DEADLINE", `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1024,"deadline":1024,"period":1024}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1023,"deadline":2000}}}`, "/process/scheduler/runtime", "from 1024", `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1024,"deadline":2000}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":3000,"deadline":2000}}}`, "/process/scheduler/runtime", "from 1024", `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":2000,"deadline":2000}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":3000,"deadline":9223372036854775808}}}`, "/process/scheduler/deadline", "is larger", `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":3000,"deadline":9223372036854775807}}}`},
	{`{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1024,"deadline":2000,"period":1999}}}`, "/process/scheduler/period", "from deadline", `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1024,"deadline":2000,"period":2000}}}`},
	{`{"process":{"ioPriority":{"class":"x","priority":0}}}`, "/process/ioPriority/class", "unknown I/O", `{"process":{"ioPriority":{"class":"IOPRIO_CLASS_RT","priority":0}}}`},
	{`{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}}}`, "/process/ioPriority/priority", "from 0 to 7", `{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":7}}}`},
	{`{"process":{"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":-1}}}`, "/process/ioPriority/priority", "from 0 to 7", `{"process":{"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":0}}}`},

	{`{"process":{"apparmorProfile":"x\n"}}`, "/process/apparmorProfile", "control characters", `{"process":{"apparmorProfile":"a b//&c"}}`},
	{`{"process":{"apparmorProfile":" x"}}`, "/process/apparmorProfile", "begin or end", `{"process":{"apparmorProfile":""}}`},
	{`{"process":{"selinuxLabel":"` + strings.Repeat("x", 4001) + `"}}`, "/process/selinuxLabel", "4001 bytes", `{"process":{"selinuxLabel":"u:r:t:s0"}}`},
	{`{"process":{"execCPUAffinity":{"final":"-"}}}`, "/process/execCPUAffinity/final", "not a number", `{"process":{"execCPUAffinity":{}}}`},
}

func allRlimits(soft int) string {
	var list []string
	for _, n := range []string{"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
		"SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"} {
		list = append(list, fmt.Sprintf(`{"type":"RLIMIT_%s","soft":%d,"hard":%d}`, n, soft, soft))
	}
	return `{"process":{"rlimits":[` + strings.Join(list, ",") + `]}}`
}

func oneMount(m string) string { return `{"mounts":[{"destination":"/ok","type":"tmpfs"},` + m + `]}` }

var mountRules = []rule{
	{`{"mounts":[{"destination":"/a","type":"tmpfs"}],"linux":{"namespaces":[]}}`, "/mounts", "mount namespace", `{"mounts":[],"linux":{"namespaces":[]}}`},
	{`{"mounts":[{"destination":"/a","type":"tmpfs","options":["ro"]}],"linux":{"namespaces":[]}}`, "/mounts/0/options", "unable to make /a read-only without a private MNT namespace", `{"mounts":[{"destination":"/a","type":"tmpfs","options":["ro"]}]}`},
	{`{"mounts":[{"destination":"/dev/","type":"devtmpfs","options":["ro"]}],"linux":{"namespaces":[]}}`, "/mounts/0/options", "unable to make /dev/ read-only", `{"mounts":[]}`},
	{oneMount(`{"destination":"","type":"tmpfs"}`), "/mounts/1/destination", "must not be empty", oneMount(`{"destination":"/a","type":"tmpfs"}`)},
	{oneMount(`{"destination":"a","type":"tmpfs"}`), "/mounts/1/destination", "warning: taken from /", oneMount(`{"destination":"/../a","type":"tmpfs"}`)},
	{oneMount(`{"destination":"/a/..","type":"tmpfs"}`), "/mounts/1/destination", "hide the root", oneMount(`{"destination":"/a/../b/","type":"tmpfs"}`)},
	{oneMount(`{"destination":"/a"}`), "/mounts/1/type", "type must not be empty", oneMount(`{"destination":"/a","options":["remount","ro"]}`)},
	{oneMount(`{"destination":"/a","type":"none","options":["bind"]}`), "/mounts/1/source", "needs a source", oneMount(`{"destination":"/a","type":"none","source":"x","options":["bind"]}`)},
	{oneMount(`{"destination":"/a","source":"/x","options":["bind","size=1m"]}`), "/mounts/1/options/1", "bind mounts cannot have any filesystem-specific options applied", oneMount(`{"destination":"/a","type":"tmpfs","options":["size=1m"]}`)},
	{oneMount(`{"destination":"/a","source":"/x","options":["wat","rbind"]}`), "/mounts/1/options/0", "bind mounts cannot have", oneMount(`{"destination":"/a","source":"/x","options":["rnosuid","rro","defaults","rbind"]}`)},
	{oneMount(`{"destination":"/a","type":"tmpfs","options":[""]}`), "/mounts/1/options/0", "warning: empty option", oneMount(`{"destination":"/a","type":"tmpfs","options":[]}`)},
	{oneMount(`{"destination":"/a","type":"tmpfs","options":["shared","rprivate"]}`), "/mounts/1/options/1", "contradicts", oneMount(`{"destination":"/a","type":"tmpfs","options":["private","rprivate"]}`)},
	{oneMount(`{"destination":"/a","type":"tmpfs","options":["shared","slave"]}`), "/mounts/1/options/1", "contradicts", oneMount(`{"destination":"/a","type":"tmpfs","options":["slave","shared"]}`)},
	{oneMount(`{"destination":"/a","source":"/x","options":["bind","unbindable","rslave"]}`), "/mounts/1/options/2", "contradicts", oneMount(`{"destination":"/a","source":"/x","options":["bind","runbindable"]}`)},
	{oneMount(`{"destination":"/a","type":"tmpfs","source":"\u0000"}`), "/mounts/1/source", "NUL", oneMount(`{"destination":"/a","type":"tmpfs","source":""}`)},

	{oneMount(`{"destination":"/proc","type":"tmpfs"}`), "/mounts/1/destination", "because it is not of type proc", oneMount(`{"destination":"/proc","type":"proc","options":["hidepid=2"]}`)},
	{oneMount(`{"destination":"/x/../proc/","type":"tmpfs"}`), "/mounts/1/destination", "because it is not of type proc", oneMount(`{"destination":"//proc/","type":"proc"}`)},
	{oneMount(`{"destination":"/proc","source":"/x","options":["bind"]}`), "/mounts/1/destination", "because it is not of type proc", oneMount(`{"destination":"/proc","source":"/proc","options":["rbind","nosuid"]}`)},
	{oneMount(`{"destination":"/proc","type":"proc","source":"/proc/1/root/x","options":["bind"]}`), "/mounts/1/destination", "because it is not of type proc", oneMount(`{"destination":"/proc","source":"/proc/.","options":["rbind"]}`)},
	{oneMount(`{"destination":"/proc/sys","type":"tmpfs"}`), "/mounts/1/destination", "because it is inside /proc", oneMount(`{"destination":"/process","type":"tmpfs"}`)},
	{oneMount(`{"destination":"/proc/uptime/x","type":"proc"}`), "/mounts/1/destination", "because it is inside /proc", oneMount(`{"destination":"/proc/./uptime","type":"tmpfs"}`)},
	{oneMount(`{"destination":"/proc/self/attr","source":"/x","options":["bind"]}`), "/mounts/1/destination", "because it is inside /proc", allProcFiles()},
}

func allProcFiles() string {
	var list []string
	for _, p := range []string{"cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev",
		"sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"} {
		list = append(list, `{"destination":"/proc/`+p+`","source":"/x","options":["bind"]}`)
	}
	return `{"mounts":[` + strings.Join(list, ",") + `]}`
}

const oneID = `[{"containerID":0,"hostID":1000,"size":1}]`

func ids(n, hostStart, hostStep int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"containerID":%d,"hostID":%d,"size":1}`, i, hostStart+i*hostStep))
	}
	return "[" + strings.Join(list, ",") + "]"
}

var linuxRules = []rule{
	{`{"linux":{"namespaces":[{"type":"pid"},{"type":"net"}]}}`, "/linux/namespaces/1/type", "unknown namespace type", `{"linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"time"}]}}`},
	{`{"linux":{"namespaces":[{"type":"pid"},{"type":"uts"},{"type":"pid","path":"/x"}]}}`, "/linux/namespaces/2/type", "more than once", `{"linux":{"namespaces":[{"type":"uts"},{"type":"pid","path":"/x"}]}}`},
	{`{"linux":{"namespaces":[{"type":"pid"},{"type":"uts"},{"type":"ipc","path":"x"}]}}`, "/linux/namespaces/2/path", "absolute", `{"linux":{"namespaces":[{"type":"ipc","path":"/../x"}]}}`},

	{`{"linux":{"timeOffsets":{"monotonic":{"secs":1}}}}`, "/linux/timeOffsets", "need a time namespace", `{"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"monotonic":{"secs":-1},"boottime":{"nanosecs":999999999}}}}`},
	{`{"linux":{"namespaces":[{"type":"time","path":"/x"}],"timeOffsets":{"monotonic":{"secs":1}}}}`, "/linux/timeOffsets", "cannot be changed", `{"linux":{"namespaces":[{"type":"time","path":"/x"}]}}`},
	{`{"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"realtime":{"secs":1}}}}`, "/linux/timeOffsets/realtime", "unknown clock", `{"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{}}}`},
	{`{"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"boottime":{"nanosecs":1000000000}}}}`, "/linux/timeOffsets/boottime/nanosecs", "less than a second", `{}`},

	{userNSWith(`[]`, oneID), "/linux/uidMappings", "a new user namespace needs uidMappings", userNSWith(oneID, oneID)},
	{userNSWith(oneID, `[]`), "/linux/gidMappings", "a new user namespace needs gidMappings", userNSWith(oneID, oneID)},
	{`{"linux":{"uidMappings":` + oneID + `}}`, "/linux/uidMappings", "need a user namespace", `{"linux":{"uidMappings":[]}}`},
	{`{"linux":{"gidMappings":` + oneID + `}}`, "/linux/gidMappings", "need a user namespace", `{"linux":{"namespaces":[{"type":"user","path":"/x"}]}}`},
	{`{"linux":{"namespaces":[{"type":"user","path":"/x"}],"uidMappings":` + oneID + `}}`, "/linux/uidMappings", "warning: joined", `{}`},
	{userNSWith(`[{"containerID":0,"hostID":1,"size":1},{"containerID":5,"hostID":5,"size":0}]`, oneID), "/linux/uidMappings/1/size", "must not be 0", userNSWith(oneID, oneID)},
	{userNSWith(`[{"containerID":0,"hostID":1,"size":4294967295}]`, oneID), "/linux/uidMappings/0/hostID", "beyond", userNSWith(`[{"containerID":0,"hostID":0,"size":4294967295}]`, oneID)},
	{userNSWith(oneID, `[{"containerID":0,"hostID":1,"size":1},{"containerID":4294967295,"hostID":5,"size":1}]`), "/linux/gidMappings/1/containerID", "beyond", userNSWith(oneID, `[{"containerID":0,"hostID":1,"size":1},{"containerID":4294967294,"hostID":5,"size":1}]`)},
	{userNSWith(`[{"containerID":0,"hostID":100,"size":10},{"containerID":9,"hostID":200,"size":10}]`, oneID), "/linux/uidMappings/1/containerID", "also in mapping 0", userNSWith(`[{"containerID":0,"hostID":100,"size":10},{"containerID":10,"hostID":200,"size":10}]`, oneID)},
	{userNSWith(oneID, `[{"containerID":0,"hostID":209,"size":10},{"containerID":10,"hostID":200,"size":10}]`), "/linux/gidMappings/0/hostID", "also in mapping 1", userNSWith(oneID, `[{"containerID":0,"hostID":210,"size":10},{"containerID":10,"hostID":200,"size":10}]`)},
	{userNSWith(ids(341, 1, 1), oneID), "/linux/uidMappings", "341 mappings", userNSWith(ids(340, 1, 1), oneID)},
	{userNSWith(ids(340, 1000000000, 2), oneID), "/linux/uidMappings", "bytes of mappings", userNSWith(ids(240, 1000000000, 2), oneID)},

	{`{"process":{"user":{"uid":1}},` + userNSWith(oneID, oneID)[1:], "/process/user/uid", "not mapped", userNSWith(oneID, oneID)},
	{`{"process":{"user":{"gid":1}},` + userNSWith(oneID, oneID)[1:], "/process/user/gid", "not mapped", `{"process":{"user":{"gid":1}},` + userNSWith(oneID, ids(2, 5, 1))[1:]},
	{`{"process":{"user":{"additionalGids":[0,7]}},` + userNSWith(oneID, oneID)[1:], "/process/user/additionalGids/1", "not mapped", `{"process":{"user":{"additionalGids":[0,7]}},"linux":{"namespaces":[{"type":"user","path":"/x"}]}}`},

	{sysctl("vm.swappiness"), "/linux/sysctl/vm.swappiness", "is not in a separate kernel namespace", sysctl("kernel.msgmax")},
	{sysctl("kernel.hostname"), "/linux/sysctl/kernel.hostname", "conflicts", sysctl("kernel.domainname")},
	{sysctl("kernel/hostname"), "/linux/sysctl/kernel~1hostname", "conflicts", sysctl("kernel/shm_rmid_forced")},
	{sysctl("net/../kernel/core_pattern"), "/linux/sysctl/net~1..~1kernel~1core_pattern", "not the name", sysctl("net/core/somaxconn")},
	{sysctl("net.//.kernel.core_pattern"), "/linux/sysctl/net.~1~1.kernel.core_pattern", "not the name", sysctl("net.ipv4.conf.eth0/100.forwarding")},
	{sysctl("net..core"), "/linux/sysctl/net..core", "not the name", sysctl("net/ipv4/conf/eth0.100/forwarding")},
	{sysctl("net."), "/linux/sysctl/net.", "not the name", sysctl("net.x")},
	{sysctl(""), "/linux/sysctl/", "not the name", sysctl("fs.mqueue.msg_max")},
	{sysctl("net"), "/linux/sysctl/net", "separate kernel namespace", sysctl("fs/mqueue/msg_max")},
	{sysctl("fs.mqueuex"), "/linux/sysctl/fs.mqueuex", "separate kernel namespace", sysctl("kernel.sem")},
	{`{"linux":{"sysctl":{"net.a":"1","net/a":"2"}}}`, "/linux/sysctl/net~1a", "same parameter", `{"linux":{"sysctl":{"net.a":"1","net.b":"2"}}}`},
	{`{"linux":{"namespaces":[],"sysctl":{"net.a":"1"}}}`, "/linux/sysctl/net.a", "host's network", `{"linux":{"namespaces":[{"type":"network","path":"/x"}],"sysctl":{"net.a":"1"}}}`},
	{`{"linux":{"namespaces":[],"sysctl":{"kernel.sem":"1"}}}`, "/linux/sysctl/kernel.sem", "host's ipc", sysctl("kernel.shmmni")},
	{`{"linux":{"namespaces":[],"sysctl":{"fs.mqueue.a":"1"}}}`, "/linux/sysctl/fs.mqueue.a", "host's ipc", sysctl("kernel.shmall")},
	{`{"linux":{"namespaces":[],"sysctl":{"kernel.domainname":"1"}}}`, "/linux/sysctl/kernel.domainname", "host's uts", sysctl("kernel.shmmax")},
	{sysctl("user.max_user_namespaces"), "/linux/sysctl/user.max_user_namespaces", "host's user", `{"linux":{"namespaces":[{"type":"user","path":"/x"}],"sysctl":{"user.max_user_namespaces":"1"}}}`},

	{`{"linux":{"maskedPaths":["/a","b"]}}`, "/linux/maskedPaths/1", "absolute", `{"linux":{"maskedPaths":["/a","/b"]}}`},
	{`{"linux":{"readonlyPaths":[""]}}`, "/linux/readonlyPaths/0", "absolute", `{"linux":{"readonlyPaths":["/"]}}`},
	{`{"linux":{"namespaces":[],"maskedPaths":["/a"]}}`, "/linux/maskedPaths", "unable to restrict sys entries without a private MNT namespace", `{"linux":{"namespaces":[],"maskedPaths":[]}}`},
	{`{"linux":{"namespaces":[],"readonlyPaths":["/a"]}}`, "/linux/readonlyPaths", "unable to restrict sys entries without a private MNT namespace", `{"linux":{"namespaces":[{"type":"mount","path":"/x"}],"readonlyPaths":["/a"]}}`},
	{`{"linux":{"rootfsPropagation":"public"}}`, "/linux/rootfsPropagation", "unknown mount propagation", `{"linux":{"rootfsPropagation":"runbindable"}}`},
	{`{"linux":{"rootfsPropagation":"bind"}}`, "/linux/rootfsPropagation", "unknown mount propagation", `{"linux":{"rootfsPropagation":"shared"}}`},
	{`{"linux":{"namespaces":[],"rootfsPropagation":"slave"}}`, "/linux/rootfsPropagation", "mount namespace", `{"linux":{"rootfsPropagation":"slave"}}`},
	{`{"linux":{"personality":{"domain":""}}}`, "/linux/personality/domain", "unknown execution domain", `{"linux":{"personality":{"domain":"LINUX"}}}`},
	{`{"linux":{"personality":{"domain":"LINUX32","flags":["x"]}}}`, "/linux/personality/flags", "warning: ignored", `{"linux":{"personality":{"domain":"LINUX32"}}}`},
	{`{"linux":{"cgroupsPath":"/a\u0000"}}`, "/linux/cgroupsPath", "NUL", `{"linux":{"cgroupsPath":"system.slice:rt:x"}}`},

	{`{"linux":{"intelRdt":{"closID":"info"}}}`, "/linux/intelRdt/closID", "not the name of a directory", `{"linux":{"intelRdt":{"closID":"/"}}}`},
	{`{"linux":{"namespaces":[],"netDevices":{"eth0":{}}}}`, "/linux/netDevices", "needs a network namespace", `{"linux":{"namespaces":[],"netDevices":{}}}`},
	{netDevices(`"a/b":{}`), "/linux/netDevices/a~1b", "a slash, a colon or a blank", netDevices(`"a-b":{}`)},
	{netDevices(`"":{}`), "/linux/netDevices/", "it is empty", netDevices(`"e":{"name":""}`)},
	{netDevices(`"eth0":{"name":"sixteen-letters-"}`), "/linux/netDevices/eth0/name", "longer than 15 bytes", netDevices(`"eth0":{"name":"fifteen-letters"}`)},
	{netDevices(`"eth0":{"name":".."}`), "/linux/netDevices/eth0/name", "a directory's", netDevices(`"eth0":{"name":"..."}`)},
	{netDevices(`"eth0":{"name":"e%s"}`), "/linux/netDevices/eth0/name", "stands for a number", netDevices(`"eth0":{"name":"e%d"}`)},
	{netDevices(`"a":{"name":"x"},"b":{"name":"x"}`), "/linux/netDevices/b", `two devices would be called "x"`, netDevices(`"a":{"name":"x%d"},"b":{"name":"x%d"}`)},
	{netDevices(`"a":{"name":"b"},"b":{}`), "/linux/netDevices/b", `this one and "a"`, netDevices(`"a":{"name":"b"},"b":{"name":"a"}`)},
	{`{"linux":{"memoryPolicy":{"mode":"MPOL_BEST"}}}`, "/linux/memoryPolicy/mode", "unknown memory policy \"MPOL_BEST\"",
		`{"linux":{"memoryPolicy":{"mode":"MPOL_LOCAL"}}}`},
	{`{"linux":{"mountLabel":"x\u0001"}}`, "/linux/mountLabel", "control characters", `{"linux":{"mountLabel":"u:r:t:s0:c1,c2"}}`},
	{oneMount(`{"destination":"/a","type":"ramfs","options":["tmpcopyup"]}`), "/mounts/1/options/0", "for mounts of type tmpfs", oneMount(`{"destination":"/a","type":"tmpfs","options":["tmpcopyup"]}`)},
}

func netDevices(d string) string {
	return `{"linux":{"namespaces":[{"type":"network"},{"type":"mount"}],"netDevices":{` + d + `}}}`
}

func sysctl(name string) string { return `{"linux":{"sysctl":{"` + name + `":"1"}}}` }

func device(d string) string { return `{"linux":{"devices":[` + d + `]}}` }
func deviceRule(d string) string {
	return `{"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"},` + d + `]}}}`
}
func resources(r string) string { return `{"linux":{"resources":` + r + `}}` }

var resourceRules = []rule{
	{device(`{"path":"/dev/a","type":"x","major":1,"minor":1}`), "/linux/devices/0/type", "unknown device type", device(`{"path":"/dev/a","type":"u","major":1,"minor":1}`)},
	{device(`{"path":"/dev/a","type":"","major":1,"minor":1}`), "/linux/devices/0/type", "unknown device type", device(`{"path":"/dev/a","type":"p"}`)},
	{device(`{"path":"dev/a","type":"c"}`), "/linux/devices/0/path", "absolute", device(`{"path":"/dev/a","type":"c"}`)},
	{device(`{"path":"/dev/..","type":"c"}`), "/linux/devices/0/path", "absolute path of a file", device(`{"path":"/opt/dev","type":"b"}`)},
	{device(`{"path":"/a","type":"c","major":-1}`), "/linux/devices/0/major", "from 0 to 4095", device(`{"path":"/a","type":"c","major":4095}`)},
	{device(`{"path":"/a","type":"b","major":4096}`), "/linux/devices/0/major", "from 0 to 4095", device(`{"path":"/a","type":"p","major":4096}`)},
	{device(`{"path":"/a","type":"c","minor":1048576}`), "/linux/devices/0/minor", "from 0 to 1048575", device(`{"path":"/a","type":"c","minor":1048575}`)},
	{device(`{"path":"/a","type":"p"},{"path":"/b","type":"p"},{"path":"/x/../a","type":"p"}`), "/linux/devices/2/path", "path of device 0", device(`{"path":"/a","type":"p"},{"path":"/b","type":"p"}`)},

	{deviceRule(`{"allow":true,"type":"p","access":"r"}`), "/linux/resources/devices/1/type", "unknown device type", deviceRule(`{"allow":true,"type":"a","access":"rwm"}`)},
	{deviceRule(`{"allow":true,"type":"c"}`), "/linux/resources/devices/1/access", "invalid device access", deviceRule(`{"allow":true,"type":"c","access":"m"}`)},
	{deviceRule(`{"allow":true,"type":"c","access":"rwa"}`), "/linux/resources/devices/1/access", "warning: is ignored", deviceRule(`{"allow":true,"type":"c","access":"rw"}`)},
	{deviceRule(`{"allow":true,"type":"c","access":"xa"}`), "/linux/resources/devices/1/access", "invalid device access", deviceRule(`{"allow":true,"access":"mwr"}`)},
	{deviceRule(`{"allow":true,"access":"r","major":-2}`), "/linux/resources/devices/1/major", "-1 for all", deviceRule(`{"allow":true,"access":"r","major":-1,"minor":-1}`)},
	{deviceRule(`{"allow":true,"access":"r","minor":4294967296}`), "/linux/resources/devices/1/minor", "-1 for all", deviceRule(`{"allow":true,"access":"r","minor":0}`)},

	{resources(`{"hugepageLimits":[{"pageSize":"../x","limit":1}]}`), "/linux/resources/hugepageLimits/0/pageSize", "not a page size", resources(`{"hugepageLimits":[{"pageSize":"64KB","limit":1}]}`)},
	{resources(`{"hugepageLimits":[{"pageSize":"2M","limit":1}]}`), "/linux/resources/hugepageLimits/0/pageSize", "not a page size", resources(`{"hugepageLimits":[{"pageSize":"1GB","limit":1}]}`)},
	{resources(`{"hugepageLimits":[{"pageSize":"B","limit":1}]}`), "/linux/resources/hugepageLimits/0/pageSize", "not a page size", resources(`{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}`)},
	{resources(`{"rdma":{"mlx":{}}}`), "/linux/resources/rdma/mlx", "neither hcaHandles nor hcaObjects", resources(`{"rdma":{"mlx":{"hcaObjects":1}}}`)},
	{resources(`{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}`), "/linux/resources/blockIO/weightDevice/0", "neither weight nor leafWeight", resources(`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}}`)},
	{resources(`{"unified":{"../memory.max":"1"}}`), "/linux/resources/unified/..~1memory.max", "not the name of a cgroup", resources(`{"unified":{"memory.max":"1"}}`)},
	{resources(`{"unified":{"..":"1"}}`), "/linux/resources/unified/..", "not the name of a cgroup", resources(`{"unified":{"hugetlb.1GB.max":"1"}}`)},
	{resources(`{"unified":{"tasks":"1"}}`), "/linux/resources/unified/tasks", "not the name of a cgroup", resources(`{"unified":{"io.max":"1"}}`)},
	{resources(`{"memory":{"limit":-2}}`), "/linux/resources/memory/limit", "nor -1", resources(`{"memory":{"limit":-1}}`)},
	{resources(`{"memory":{"kernel":-2}}`), "/linux/resources/memory/kernel", "nor -1", resources(`{"memory":{"kernel":1}}`)},
	{resources(`{"memory":{"swappiness":101}}`), "/linux/resources/memory/swappiness", "from 0 to 100", resources(`{"memory":{"swappiness":100}}`)},
	{resources(`{"cpu":{"burst":11,"quota":10}}`), "/linux/resources/cpu/burst", "larger than the quota", resources(`{"cpu":{"burst":11,"quota":-1}}`)},
	{resources(`{"cpu":{"idle":2}}`), "/linux/resources/cpu/idle", "neither 0 nor 1", resources(`{"cpu":{"idle":1}}`)},
	{resources(`{"cpu":{"cpus":"a"}}`), "/linux/resources/cpu/cpus", "not a list", resources(`{"cpu":{"cpus":"0-3,7"}}`)},
	{resources(`{"cpu":{"mems":"0;1"}}`), "/linux/resources/cpu/mems", "not a list", resources(`{"cpu":{"mems":"0"}}`)},
}

func seccomp(s string) string { return `{"linux":{"seccomp":` + s + `}}` }
func seccompCall(s string) string {
	return seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/s","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG"},` + s + `]}`)
}

var seccompRules = []rule{
	{seccomp(`{"flags":["x"]}`), "/linux/seccomp", "warning: no filter is installed", seccomp(`{"defaultAction":"SCMP_ACT_ALLOW"}`)},
	{seccomp(`{"syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG"}]}`), "/linux/seccomp/defaultAction", "unknown seccomp action", seccomp(`{"defaultAction":"SCMP_ACT_KILL"}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_NOTIFY"}`), "/linux/seccomp/defaultAction", "cannot be used as default", seccomp(`{"defaultAction":"SCMP_ACT_KILL_PROCESS"}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`), "/linux/seccomp/defaultErrnoRet", "warning: ignored, for action SCMP_ACT_ALLOW has no errno", seccomp(`{"defaultAction":"SCMP_ACT_TRACE","defaultErrnoRet":1}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`), "/linux/seccomp/defaultErrnoRet", "larger than 4095", seccomp(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4095}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","x"]}`), "/linux/seccomp/architectures/1", "unknown architecture", seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_RISCV64"]}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","flags":["x"]}`), "/linux/seccomp/flags/0", "unknown seccomp flag", seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}`), "/linux/seccomp/listenerMetadata", "warning: ignored without listenerPath", seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/s","listenerMetadata":"x"}`)},
	{seccomp(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}`), "/linux/seccomp/syscalls/0/action", "needs a listenerPath", seccompCall(`{"names":["read"],"action":"SCMP_ACT_NOTIFY"}`)},
	{seccompCall(`{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}`), "/linux/seccomp/syscalls/1/names/1", "write syscall", seccompCall(`{"names":["read","write"],"action":"SCMP_ACT_TRAP"}`)},
	{seccompCall(`{"names":[],"action":"SCMP_ACT_LOG"}`), "/linux/seccomp/syscalls/1/names", "warning: empty: the rule is ignored", seccompCall(`{"names":["nosuchcall"],"action":"SCMP_ACT_LOG"}`)},
	{seccompCall(`{"names":["x"],"action":"ERRNO"}`), "/linux/seccomp/syscalls/1/action", "unknown seccomp action", seccompCall(`{"names":["x"],"action":"SCMP_ACT_KILL_THREAD"}`)},
	{seccompCall(`{"names":["x"],"action":"SCMP_ACT_LOG","errnoRet":1}`), "/linux/seccomp/syscalls/1/errnoRet", "warning: ignored, for action SCMP_ACT_LOG has no errno", seccompCall(`{"names":["x"],"action":"SCMP_ACT_ERRNO","errnoRet":38}`)},
	{seccompCall(`{"names":["x"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}`), "/linux/seccomp/syscalls/1/args/0/index", "from 0 to 5", seccompCall(`{"names":["x"],"action":"SCMP_ACT_LOG","args":[{"index":5,"value":1,"op":"SCMP_CMP_EQ"}]}`)},
	{seccompCall(`{"names":["x"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"=="}]}`), "/linux/seccomp/syscalls/1/args/0/op", "unknown operator", seccompCall(`{"names":["x"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"SCMP_CMP_GE"}]}`)},
}
