package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/libcontainer"
)

func (p *program) execCommand() *cli.Command {
	var env, caps, cgroups cmdline.StringList
	var groups groupList
	flags := []cli.Flag{
		&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "process.json `file` instead of a command and the flags below"},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the command runs"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "allocate a terminal"},
		&cli.StringFlag{Name: "console-socket", Usage: "AF_UNIX `socket` that receives the terminal's master"},
		&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process id to"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "AF_UNIX `socket` that receives a pidfd of the process"},
		preserveFdsFlag(),
		&cli.BoolFlag{Name: "ignore-paused", Usage: "exec in a paused container too; the command waits for resume"},
		&cli.StringFlag{Name: "exec-wait-fifo", Usage: "hold the command until somebody has read a byte from this `FIFO`"},
		&cli.StringFlag{Name: "cwd", Usage: "working `directory`"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`UID[:GID]`"},
		&cli.StringFlag{Name: "process-label", Usage: "SELinux `label`"},
		&cli.StringFlag{Name: "apparmor", Usage: "AppArmor `profile`"},
		&cli.BoolFlag{Name: "no-new-privs", Usage: "set no_new_privs; =false takes it away"},
		&cli.GenericFlag{Name: "cgroup", Value: &cgroups, Usage: "`[CONTROLLER[,CONTROLLER]:]PATH` of a sub-cgroup to run in; can be repeated"},
	}
	flags = append(flags, cmdline.ListFlags(&env, "env", "e", "set the variable `NAME=VALUE`; can be repeated")...)
	flags = append(flags, cmdline.ListFlags(&groups, "additional-gids", "g", "add a supplementary `GID`; can be repeated")...)
	flags = append(flags, cmdline.ListFlags(&caps, "cap", "c", "add a `CAPABILITY`; can be repeated")...)
	return cmdline.Command(&cli.Command{
		Name:      "exec",
		Usage:     "run a command in a running container",
		ArgsUsage: "<container-id> <command> [argument...]  |  --process process.json <container-id>",
		Flags:     flags,
	}, 1, -1, func(c *cli.Context) error {
		gids, err := groups.ids()
		if err != nil {
			return execError{err}
		}
		o := execOptions(c)
		o.Env, o.Groups, o.Caps, o.Cgroups = env, gids, caps, cgroups
		if !o.Detach {
			p.keepCollecting() // as in run: rt stays as long as the command does
		}
		status, err := p.runtime(c).Exec(c.Args().First(), o)
		if err != nil {
			return execError{err}
		}
		return exited(status)
	})
}

func execOptions(c *cli.Context) libcontainer.ExecOptions {
	return libcontainer.ExecOptions{
		Process:         c.String("process"),
		Args:            c.Args().Tail(),
		Cwd:             c.String("cwd"),
		Tty:             c.Bool("tty"),
		User:            c.String("user"),
		NoNewPrivs:      givenBool(c, "no-new-privs"),
		ProcessLabel:    c.String("process-label"),
		AppArmor:        c.String("apparmor"),
		Detach:          c.Bool("detach"),
		HandOverOptions: handOverOptions(c),
		PreserveFds:     c.Int("preserve-fds"),
		IgnorePaused:    c.Bool("ignore-paused"),
		WaitFIFO:        c.String("exec-wait-fifo"),
	}
}

// givenBool is the value of a flag, or nil if it is not given.
func givenBool(c *cli.Context, name string) *bool {
	if !c.IsSet(name) {
		return nil
	}
	value := c.Bool(name)
	return &value
}

// A groupList collects the numbers of --additional-gids. What is no number is an error of the command line, as with runc.
type groupList []int64

func (l *groupList) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return errors.New("not a group id")
	}
	*l = append(*l, n)
	return nil
}

func (l *groupList) String() string { return "" }

// ids are those that a group can have. 4294967295 is (gid_t)-1, "no change" to the kernel.
func (l groupList) ids() (gids []uint32, err error) {
	for _, n := range l {
		if n < 0 {
			return nil, fmt.Errorf("exec failed: additional-gids must be a positive number %d", n) // runc's words
		}
		if n >= math.MaxUint32 {
			return nil, fmt.Errorf("exec failed: invalid group id %d in --additional-gids", n)
		}
		gids = append(gids, uint32(n))
	}
	return gids, nil
}
