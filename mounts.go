package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (p *program) mountsCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "mounts",
		Usage:     "mount more into a running container, or unmount it",
		ArgsUsage: "add|remove <container-id> <mounts.json>",
	}, 3, 3, func(c *cli.Context) error {
		change := map[string]func(string, []byte) error{"add": p.runtime(c).AddMounts, "remove": p.runtime(c).RemoveMounts}[c.Args().First()]
		if change == nil {
			return &usageError{fmt.Sprintf("unknown command %q", "mounts "+c.Args().First()), "it is mounts add or mounts remove"}
		}
		list, err := p.readInput(c.Args().Get(2))
		if err != nil {
			return fmt.Errorf("read mounts: %w", err)
		}
		return change(c.Args().Get(1), list)
	})
}
