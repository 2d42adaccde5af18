package main

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// Whoever is removed from the policy, or has an elevation revoked, is out within
// a second.
const (
	policyEvery     = 500 * time.Millisecond
	elevationsEvery = 500 * time.Millisecond
	honeyEvery      = time.Second
	rolesEvery      = 700 * time.Millisecond
)

// keepRoles ends the sessions of roles that are dropped from the server, or lose
// LOGIN there, and of logins whose tokens have expired: the server itself lets
// them go on.
func (p *process) keepRoles(ctx context.Context) {
	tick := time.NewTicker(rolesEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.server.ExpelLapsed()
		err := p.expelDropped(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.log.Error("it cannot be seen which roles the server has: sessions of dropped roles go on", "err", err)
		}
		failing = err != nil
		p.failing.roles.Store(failing)
	}
}

func (p *process) expelDropped(ctx context.Context) error {
	logins, roles := p.server.ServerRoles()
	if len(logins) == 0 {
		return nil
	}
	const gone = `SELECT coalesce(array_agg(n), '{}') FROM unnest($1::text[]) AS n
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = n AND (r.rolcanlogin OR $2))`
	return p.memory.use(ctx, func(c *pgx.Conn) error {
		if err := c.QueryRow(ctx, gone, logins, false).Scan(&logins); err != nil {
			return err
		}
		if err := c.QueryRow(ctx, gone, roles, true).Scan(&roles); err != nil {
			return err
		}
		p.server.ExpelDropped(logins, roles)
		return nil
	})
}

// keepElevations reads which elevations are in force, again and again: they are
// approved and revoked by any proxy of the database.
func (p *process) keepElevations(ctx context.Context) {
	tick := time.NewTicker(elevationsEvery)
	defer tick.Stop()
	failing := false
	for {
		err := p.server.ReadElevations(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			p.log.Error("elevations cannot be read: those that are not over end soon", "err", err)
		}
		failing = err != nil
		p.failing.elevations.Store(failing)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// keepHoney reads which records are planted, again and again: any of the
// database's operators plants some.
func (p *process) keepHoney(ctx context.Context) {
	tick := time.NewTicker(honeyEvery)
	defer tick.Stop()
	failing := false
	for {
		err := p.server.ReadHoney(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			p.log.Error("planted records cannot be read: those known stay in force", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// keepFresh reloads on SIGHUP and looks at the catalog on a timer.
func (p *process) keepFresh(ctx context.Context, hup <-chan os.Signal) {
	tick := time.NewTicker(p.cfg.Limits.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			p.reloadTLS()
			p.reloadRules()
			p.reloadUsers()
			p.reloadSecrets(ctx)
			p.reloadAlerts()
			p.reload(ctx, "SIGHUP")
		case <-tick.C:
			fresh, err := p.enforcer.Look(ctx)
			if ctx.Err() != nil {
				return
			}
			p.looked(fresh, err == nil)
			if err != nil {
				p.log.Error("looking at the catalog", "err", err)
			} else if fresh {
				p.log.Info("the schema changed: new catalog in force")
			}
		}
	}
}

// maxPeople bounds the people whose behaviour is watched at a time: some
// kilobytes each.
const maxPeople = 10_000

const (
	habitsEvery  = time.Minute
	habitsWithin = 20 * time.Second
)

// keepHabits writes down what people do, and reads what they did before, again
// and again, and once more when all sessions have ended. Without it nobody is
// compared with their own history.
func (p *process) keepHabits(ctx context.Context) {
	tick := time.NewTicker(habitsEvery)
	defer tick.Stop()
	failing := false
	for {
		err := p.keepHabitsOnce()
		if err != nil && !failing {
			p.log.Error("what people do is not compared with what they did before", "err", err)
		}
		failing = err != nil
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (p *process) keepHabitsOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), habitsWithin)
	defer cancel()
	return p.server.KeepHabits(ctx)
}
