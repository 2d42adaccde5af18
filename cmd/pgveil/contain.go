package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// proxyName tells this process from others in front of the same database.
func proxyName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "pgveil"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// firstQuarantines reads who is in quarantine before anybody is let in. Without
// the tables nobody can be, but by what this process decides itself.
func (p *process) firstQuarantines(ctx context.Context) error {
	err := p.server.ReadQuarantines(ctx)
	if tablesMissing(err) {
		p.log.Warn("quarantines are this process's alone, and over when it stops", "err", err)
		return nil
	}
	return err
}

func tablesMissing(err error) bool {
	var said *privacy.Error
	return errors.As(err, &said) && said.Code == privacy.NotAvailable
}

// keepContained keeps this process to what was decided at any of those in front
// of the database, as long as it has sessions.
func (p *process) keepContained(ctx context.Context) {
	p.server.KeepContained(ctx, func(err error) {
		failed := err != nil && !tablesMissing(err)
		if before := p.failing.contain.Swap(failed); before || !failed {
			return
		}
		p.log.Error("quarantines cannot be read or written: those that are known stay in force, and new ones are this process's alone", "err", err)
	})
}

// hearAgain is how long to wait before others are listened to again.
const hearAgain = 2 * time.Second

// hearOthers has what others write looked at as soon as they say so. Without it,
// it is looked at a little later.
func (p *process) hearOthers(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.listen(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("listening to the other processes", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(hearAgain):
		}
	}
}

func (p *process) listen(ctx context.Context) error {
	conn, err := p.own.open(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "LISTEN "+state.ContainmentChannel)
	for err == nil {
		p.server.ContainSoon()
		_, err = conn.WaitForNotification(ctx)
	}
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(err, conn.Close(closing))
}

// signOff tells the other processes not to wait for this one's answers.
func (p *process) signOff() {
	if p.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.server.Leave(ctx); err != nil {
		p.log.Debug("leaving", "err", err)
	}
}
