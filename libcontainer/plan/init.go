package plan

import (
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// underInit lets a child become the program. What follows the program's steps, whose last is execve, is left to the
// process that stays: the program's ids, and of the privileges only that to send signals to whoever the program
// becomes.
func (b *builder) underInit() error {
	at, p := len(b.Items), b.spec.Process
	b.add("", nsenter.Init{})
	if err := b.credentials(); err != nil {
		return err
	}
	if err := b.exec(); err != nil {
		return err
	}
	b.Items[at].Step = nsenter.Init{Steps: len(b.Items) - at - 1, Terminal: p.Terminal}
	b.ownLabels()
	kill := uint64(1) << unix.CAP_KILL & b.grantable()
	b.add("", nsenter.NoNewPrivs{}, nsenter.Bounding{})
	b.add("", nsenter.Credentials{UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids})
	b.add("", nsenter.Capabilities{Effective: kill, Permitted: kill})
	return nil
}
