package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/libcontainer"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/criu"
)

func (p *program) checkpointCommand() *cli.Command {
	var emptyNS cmdline.StringList
	flags := append(criuFlags(&emptyNS),
		&cli.StringFlag{Name: "parent-path", Usage: "`directory` of the images that these add to, relative to the images"},
		&cli.BoolFlag{Name: "leave-running", Usage: "let the container go on"},
		&cli.BoolFlag{Name: "pre-dump", Usage: "save memory only, to shorten a later checkpoint; the container goes on"},
		&cli.BoolFlag{Name: "tcp-skip-in-flight", Usage: "leave out TCP connections that are being established"},
		&cli.BoolFlag{Name: "link-remap", Usage: "give deleted files that are open a name again"},
		&cli.IntFlag{Name: "status-fd", Value: -1, Usage: "write a zero byte to this file `descriptor` when lazy pages are served"},
		&cli.StringFlag{Name: "page-server", Usage: "`ADDRESS:PORT` to send memory to, or to serve lazy pages at"},
	)
	return cmdline.Command(&cli.Command{
		Name:      "checkpoint",
		Usage:     "save a running container into files, with CRIU",
		ArgsUsage: "<container-id>",
		Flags:     flags,
	}, 1, 1, func(c *cli.Context) error {
		server, err := parsePageServer(c.String("page-server"))
		if err != nil {
			return err
		}
		return p.runtime(c).Checkpoint(c.Args().First(), checkpoint.DumpOptions{
			Options:         criuOptions(c, emptyNS),
			ParentPath:      c.String("parent-path"),
			LeaveRunning:    c.Bool("leave-running"),
			PreDump:         c.Bool("pre-dump"),
			TCPSkipInFlight: c.Bool("tcp-skip-in-flight"),
			LinkRemap:       c.Bool("link-remap"),
			StatusFd:        max(0, c.Int("status-fd")),
			PageServer:      server,
		})
	})
}

func (p *program) restoreCommand() *cli.Command {
	var emptyNS cmdline.StringList
	flags := append(criuFlags(&emptyNS),
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "bundle `directory` (default: the current one)"},
		&cli.StringFlag{Name: "console-socket", Usage: "AF_UNIX `socket` that receives the terminal's master"},
		&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process id to"},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the processes run"},
		&cli.BoolFlag{Name: "no-subreaper", Usage: "do not adopt the container's orphans"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "accepted and ignored: CRIU sets up the root"},
		&cli.StringFlag{Name: "lsm-profile", Usage: "`TYPE:NAME` of a security profile instead of the saved one: apparmor or selinux"},
		&cli.StringFlag{Name: "lsm-mount-context", Usage: "SELinux `context` for mounts that were saved with one"},
	)
	return cmdline.Command(&cli.Command{
		Name:      "restore",
		Usage:     "bring back a container that was saved by checkpoint",
		ArgsUsage: "<container-id>",
		Flags:     flags,
	}, 1, 1, func(c *cli.Context) error {
		o := libcontainer.RestoreOptions{
			Options:         criuOptions(c, emptyNS),
			Bundle:          c.String("bundle"),
			HandOverOptions: handOverOptions(c),
			Detach:          c.Bool("detach"),
			NoSubreaper:     c.Bool("no-subreaper"),
			LSMProfile:      c.String("lsm-profile"),
			LSMMountContext: c.String("lsm-mount-context"),
		}
		if !o.Detach {
			p.keepCollecting() // as in run
		}
		status, err := p.runtime(c).Restore(c.Args().First(), o)
		if err != nil {
			return err
		}
		return exited(status)
	})
}

// criuFlags are the flags that checkpoint and restore share.
func criuFlags(emptyNS *cmdline.StringList) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image-path", Usage: "`directory` of the images (default: ./checkpoint)"},
		&cli.StringFlag{Name: "work-path", Usage: "`directory` of logs and statistics (default: that of the images)"},
		&cli.BoolFlag{Name: "tcp-established", Usage: "keep TCP connections that are established"},
		&cli.BoolFlag{Name: "tcp-close", Usage: "do not keep established TCP connections: they are closed after restore"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow unix sockets that are connected to outside of the container"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow a terminal of the caller's own"},
		&cli.BoolFlag{Name: "file-locks", Usage: "keep file locks"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "move memory when it is asked for, by userfaultfd"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "remove memory from the images that newer ones have as well"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "what becomes of cgroups: `MODE` soft (default), full, strict or ignore"},
		&cli.GenericFlag{Name: "empty-ns", Value: emptyNS, Usage: "do not keep what is in this `NAMESPACE`: network, which never is; can be repeated"},
		&cli.StringFlag{Name: "network-lock", Usage: "block the network meanwhile by this `METHOD`: iptables, nftables or skip"},
	}
}

func criuOptions(c *cli.Context, emptyNS []string) checkpoint.Options {
	return checkpoint.Options{
		ImagePath:      c.String("image-path"),
		WorkPath:       c.String("work-path"),
		TCPEstablished: c.Bool("tcp-established"),
		TCPClose:       c.Bool("tcp-close"),
		ExtUnixSk:      c.Bool("ext-unix-sk"),
		ShellJob:       c.Bool("shell-job"),
		FileLocks:      c.Bool("file-locks"),
		LazyPages:      c.Bool("lazy-pages"),
		AutoDedup:      c.Bool("auto-dedup"),
		ManageCgroups:  c.String("manage-cgroups-mode"),
		EmptyNS:        emptyNS,
		NetworkLock:    c.String("network-lock"),
	}
}

// parsePageServer reads ADDRESS:PORT; an IPv6 address is in brackets.
func parsePageServer(s string) (*criu.PageServer, error) {
	if s == "" {
		return nil, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || i == len(s)-1 {
		//lint:ignore ST1005 runc's words
		return nil, errors.New("Use --page-server ADDRESS:PORT to specify page server")
	}
	address := s[:i]
	if inner, ok := strings.CutPrefix(address, "["); ok {
		address = strings.TrimSuffix(inner, "]")
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		//lint:ignore ST1005 runc's words
		return nil, errors.New("Invalid port number")
	}
	return &criu.PageServer{Address: address, Port: int(port)}, nil
}
