package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
)

// inForce makes sure that a pgveil that serves beside has the policy in force that
// this call goes by: by another one, clients would get what is sealed.
func (s *sealCall) inForce() error {
	dir := s.reg.process.cfg.Audit.Dir
	if used, err := written(dir); err != nil || !used {
		return err
	}
	head, err := audit.ReadHead(dir)
	if err != nil {
		return err
	}
	const last = 10_000
	from, theirs := uint64(0), ""
	if head.Count > last {
		from = head.Count - last
	}
	for r, err := range audit.Read(dir, from) {
		if err != nil {
			return fmt.Errorf("the access log: %w", err)
		}
		if r.Generation != "" {
			theirs = r.Generation
		}
	}
	if ours := s.engine.Policy.Generation(); theirs != "" && theirs != ours {
		return fmt.Errorf("nothing was changed: the pgveil that serves has the policy %s in force, and the files have %s: it takes changed files over within seconds, or says \"reload failed\" in its log", theirs, ours)
	}
	return nil
}

// written tells whether a process is writing a log.
func written(dir string) (bool, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if used := errors.Is(err, unix.EWOULDBLOCK); used || err == nil {
		return used, d.Close()
	}
	return false, errors.Join(err, d.Close())
}
