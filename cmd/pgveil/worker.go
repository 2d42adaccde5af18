package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// runWorker runs "pgveil worker".
func runWorker(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("worker", "",
		`Works on the requests of data subjects as serve does, and relays no sessions. Any
number of workers and proxies may be at one database: a request is one's at a time,
and another goes on with it when that one is gone. SIGTERM ends it: what has begun
is taken up again where it was. SIGHUP, or a change of the policy's files, puts a new
policy in force, or leaves the old one.

It writes the access log: the second chain of audit.dir beside a proxy with
overlap: true, else a folder of its own, in a configuration of its own.`,
		"pgveil worker --config /etc/pgveil/worker.yaml --workers 4", "pgveil worker --once     at night, after pgveil dsar batch --run")
	path := c.flags.String("config", "pgveil.yaml", "a `file` like that of serve")
	n := c.flags.Int("workers", 0, "`number` of requests that are worked on at once; else dsar.workers, and one at least")
	once := c.flags.Bool("once", false, "end when nothing that is queued may be run now")
	admin := c.flags.String("admin", "", "`address` of metrics and health; those of the configuration are serve's")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if most := 16 * runtime.NumCPU(); *n < 0 || *n > most {
		return c.misused(stderr, "--workers: %d is not a number from 1 to %d", *n, most)
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return c.failed(stderr, err)
	}
	cfg.Admin = *admin
	if *n == 0 {
		*n = max(1, cfg.DSAR.Running())
	}
	log := newLogger(cfg.Log, stderr)
	boundMemory(log)
	if err := work(ctx, cfg, log, *n, *once); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// work runs requests until a signal or, where they are to run once, until there
// are none.
func work(ctx context.Context, cfg *config.Config, log *slog.Logger, n int, once bool) (err error) {
	p := &process{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() { err = errors.Join(err, p.close()) }()
	_, other, err := p.startCore(ctx)
	if errors.Is(err, audit.ErrInUse) {
		return fmt.Errorf("%w: with overlap: true this process writes the second chain beside a proxy; else give it a configuration with another audit.dir", err)
	}
	if err != nil {
		return err
	}
	p.privacy.Data.Keep = n
	if p.doorWatch, err = newDoorWatch(p); err != nil {
		return err
	}
	record := func(message string) error {
		_, err := p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: message, Generation: p.enforcer.Engine().Policy.Generation()})
		return err
	}
	if err := record("worker: " + started(other)); err != nil {
		return err
	}
	if err := p.recordRing(nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record("stop")) }()
	return p.workUntil(ctx, n, once)
}

// workUntil works with everything around it that keeps a process current.
func (p *process) workUntil(ctx context.Context, n int, once bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var around sync.WaitGroup
	defer around.Wait()
	defer stop()
	failed := make(chan error, 1)
	if p.cfg.Admin != "" {
		ln, err := open(p.cfg.Admin, 0, p.cfg.Overlap)
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		around.Go(func() {
			if err := p.serveAdmin(ctx, ln); err != nil {
				failed <- err
				stop()
			}
		})
	}
	around.Go(func() { p.keepCurrent(ctx) })
	if p.cfg.Sealing != nil {
		around.Go(func() { p.watchRing(ctx) })
	}
	around.Go(func() { p.restored.run(ctx) })
	around.Go(func() {
		p.watchTroubles(ctx, append(p.auditTroubles(), append(p.restored.troubles(), p.ringTrouble())...))
	})
	around.Go(func() { p.destroySealed(ctx) })
	p.table.run(ctx, &around)
	p.doorWatch.run(ctx, &around)
	p.tell("READY=1")
	p.log.Info("working on requests", "workers", n)
	err := p.workers(ctx, n, once)
	p.tell("STOPPING=1")
	p.sayQueued()
	select {
	case other := <-failed:
		return errors.Join(err, other)
	default:
		return err
	}
}

// workers works on requests, n at once.
func (p *process) workers(ctx context.Context, n int, once bool) error {
	all := make([]*requests.Worker, n)
	var err error
	for i := range all {
		if all[i], err = p.worker(fmt.Sprintf("worker %d of %s", i+1, proxyName())); err != nil {
			return err
		}
	}
	clock, err := p.worker("clock of " + proxyName())
	if err != nil {
		return err
	}
	var tasks sync.WaitGroup
	errs := make([]error, n)
	for i, w := range all {
		tasks.Go(func() {
			if once {
				errs[i] = workOff(ctx, w)
			} else {
				w.Work(ctx)
			}
		})
	}
	if !once {
		tasks.Go(func() { clock.Watch(ctx) })
	}
	tasks.Wait()
	if ctx.Err() != nil {
		return nil // it was told to end
	}
	return errors.Join(errs...)
}

// workOff runs requests until none may be run.
func workOff(ctx context.Context, w *requests.Worker) (err error) {
	conn, err := w.Service.Data.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for {
		busy, err := w.Step(ctx, conn)
		if !busy || err != nil {
			return err
		}
	}
}

// sayQueued says what is left for others.
func (p *process) sayQueued() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var n int64
	err := p.memory.use(ctx, func(c *pgx.Conn) (err error) { n, err = state.QueuedRequests(ctx, c); return err })
	if err != nil {
		p.log.Warn("it is not known how many requests are left", "err", err)
		return
	}
	p.log.Info("no work is done any more", "left", n)
}

// keepCurrent puts policies and catalogs in force as they change.
func (p *process) keepCurrent(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var watch sync.WaitGroup
	watch.Go(func() {
		config.Watch(ctx, policyEvery, func() { p.reload(ctx, "policy files changed") }, p.cfg.Policy)
	})
	defer watch.Wait()
	tick := time.NewTicker(p.cfg.Limits.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			p.reloadAlerts()
			p.reload(ctx, "SIGHUP")
		case <-tick.C:
			if _, err := p.enforcer.Look(ctx); err != nil && ctx.Err() == nil {
				p.log.Error("looking at the catalog", "err", err)
			}
		}
	}
}
