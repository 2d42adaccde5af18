package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// recordPrivacy writes records of a command that shows or changes what is held
// on a data subject, durably. A command lets go of the log at once: a process
// that starts meanwhile must find it free. Where one serves, the record goes
// into the chain that it does not write.
func recordPrivacy(ctx context.Context, a config.Audit, list ...*audit.Record) error {
	err := recordIn(ctx, a, false, list)
	if errors.Is(err, audit.ErrInUse) {
		err = recordIn(ctx, a, true, list)
	}
	if errors.Is(err, audit.ErrInUse) {
		err = fmt.Errorf("%w, and so is the chain beside it: a restart goes on; try again when it is over", err)
	}
	if err != nil {
		return fmt.Errorf("the access log cannot be written: %w", err)
	}
	return nil
}

func recordIn(ctx context.Context, a config.Audit, beside bool, list []*audit.Record) (err error) {
	o, err := logOptions(a)
	if err != nil {
		return err
	}
	o.Retention = audit.Retention{} // what is old is removed by who serves
	dir, other := a.Dir, filepath.Join(a.Dir, besideDir)
	if beside {
		besideKeysOf(o)
		dir, other = other, dir
	}
	log, err := audit.Open(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if _, err := log.Append(&audit.Record{Kind: audit.KindSystem, Message: started(other)}); err != nil {
		return err
	}
	return appendAll(ctx, log, list)
}

// appendAll adds records, and returns when they are durable.
func appendAll(ctx context.Context, log *audit.Log, list []*audit.Record) error {
	for _, r := range list {
		if _, err := log.Append(r); err != nil {
			return err
		}
	}
	return log.Sync(ctx, list[len(list)-1].Seq)
}
