package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/sidedoor"
	"github.com/pgveil/pgveil/state"
)

// doorWatch looks for connections around pgveil while it serves.
type doorWatch struct {
	*sidedoor.Watcher
	process *process
	hosts   []*connection
}

// newDoorWatch gives the watch that the configuration asks for, or nil.
func newDoorWatch(p *process) (*doorWatch, error) {
	if p.cfg.Doors == nil {
		return nil, nil
	}
	allow, err := allowedDoors(p.cfg.Doors)
	if err != nil {
		return nil, err
	}
	d := &doorWatch{process: p}
	d.Watcher = &sidedoor.Watcher{
		ID: rand.Text(), Name: fmt.Sprintf("%s:%d", hostName(), os.Getpid()), Database: p.cfg.Database, Every: p.cfg.Doors.Every,
		Store: &state.Store{Use: p.memory.use}, Ours: p.ours, Allow: allow, Alerts: doorAlerts{p},
	}
	for i, h := range p.own.hosts {
		conn := newConnection(func(ctx context.Context) (*pgx.Conn, error) { return p.own.openAt(ctx, i) })
		d.hosts = append(d.hosts, conn)
		d.Hosts = append(d.Hosts, sidedoor.Host{Name: placeOf(h), Use: conn.use})
	}
	d.register(p.registry)
	return d, nil
}

func placeOf(h config.Host) string {
	if h.Socket() != "" {
		return h.Socket()
	}
	return net.JoinHostPort(h.Name, strconv.Itoa(h.Port))
}

// ours gives the connections to the server that this process has or had lately.
func (p *process) ours() ([]state.Backend, int64) {
	own, m := p.own.backends()
	if p.server == nil {
		return own, m
	}
	sessions, n := p.server.Backends()
	return append(sessions, own...), n + m
}

func allowedDoors(c *config.SideDoors) (all []sidedoor.Allow, err error) {
	for i, a := range c.Allow {
		places, err := a.Places()
		if err != nil {
			return nil, fmt.Errorf("side_doors.allow[%d].from: %w", i, err)
		}
		all = append(all, sidedoor.Allow{
			Users: atLeast(a.Users), Databases: atLeast(a.Databases), Apps: atLeast(a.Apps),
			Anywhere: places.All, Unix: places.Unix, Networks: places.Networks,
		})
	}
	return all, nil
}

// atLeast reads names; none are all.
func atLeast(words config.Words) sidedoor.Names {
	n := names(words)
	return sidedoor.Names{All: n.All || len(words) == 0, Of: n.Of}
}

// doorAlerts raises what is in no session: it tells operators, and the access log.
type doorAlerts struct{ *process }

// Raise does so.
func (a doorAlerts) Raise(e alert.Event) {
	a.alerts.Raise(e)
	r := audit.Record{Kind: audit.KindSystem, Login: e.Login, Client: e.Addr, App: e.App, Message: "alert: " + e.Message}
	if _, err := a.audit.Append(&r); err != nil {
		a.log.Error("recording an alert", "err", err)
	}
}

func (d *doorWatch) register(r prometheus.Registerer) {
	gauge := func(name, help string, value func(sidedoor.Stats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(d.Stats()) }))
	}
	gauge("pgveil_side_doors", "Connections to the database that go around pgveil.", func(s sidedoor.Stats) float64 { return float64(s.Open) })
	gauge("pgveil_side_doors_unseen", "Connections of which pgveil's login may not see where they come from.", func(s sidedoor.Stats) float64 { return float64(s.Unseen) })
	gauge("pgveil_side_doors_unwatched_sessions", "Sessions that the server counted, and that nobody made or saw, about.", func(s sidedoor.Stats) float64 { return float64(s.Unwatched) })
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pgveil_side_doors_found_total", Help: "Connections around pgveil that this process was the first to find."},
		func() float64 { return float64(d.Stats().Found) }))
}

// run looks again and again, until the context ends.
func (d *doorWatch) run(ctx context.Context, tasks *sync.WaitGroup) {
	if d == nil {
		return
	}
	tasks.Go(func() {
		tick := time.NewTicker(d.Every)
		defer tick.Stop()
		failing := false
		for {
			err := d.look(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil && !failing {
				d.process.log.Error("connections around pgveil cannot be looked for", "err", err)
			}
			failing = err != nil
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// lookWithin is how long one look may take: a host that hangs keeps the others
// from being looked at no longer.
const lookWithin = 10 * time.Second

func (d *doorWatch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	return d.Look(ctx)
}

// close says that this process ends, and closes its connections.
func (d *doorWatch) close() error {
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := d.Store.LeaveProxy(ctx, d.ID); err != nil {
		d.process.log.Warn("other proxies do not hear that this one ends", "err", err)
	}
	var errs []error
	for _, c := range d.hosts {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}
