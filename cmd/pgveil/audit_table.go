package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/audit"
	auditload "github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/config"
)

// besideEvery is how often it is looked at whether the chain that this process
// does not write has records that nobody loaded: the process that writes it does
// so itself, while there is one.
const besideEvery = 10 * time.Second

// table brings the access log into the database: each chain with a connection of
// its own.
type table struct {
	own, other *auditload.Loader // chains: that this process writes, and the other one
	conns      []*connection
}

// newTable makes what loads the log in dir, which this process writes, and the
// other chain. nil: the configuration asks for no table.
func newTable(p *process, dir, other string) *table {
	c := p.cfg.Audit.Table
	if c == nil {
		return nil
	}
	t := &table{}
	t.own = t.loader(p, dir)
	t.own.Durable, t.own.Loading = p.audit.Sync, p.loaded.Store
	t.other = t.loader(p, other)
	t.other.Durable = func(ctx context.Context, seq uint64) error { return audit.SyncFiles(ctx, other, seq) }
	t.other.Every = max(t.other.Every, besideEvery)
	return t
}

func (t *table) loader(p *process, dir string) *auditload.Loader {
	conn := newConnection(p.own.openLoader)
	t.conns = append(t.conns, conn)
	c := p.cfg.Audit.Table
	return &auditload.Loader{
		Dir: dir, Name: tableName(p.cfg.Audit, dir), Keep: c.Keep, Batch: c.Batch, Every: c.Every,
		Use: conn.use, Log: p.log, Now: time.Now,
	}
}

// tableName is what a chain is called in the table; "" where its first record
// names it.
func tableName(a config.Audit, dir string) string {
	name := a.Origin
	if a.Table != nil && a.Table.Name != "" {
		name = a.Table.Name
	}
	if name != "" && filepath.Base(dir) == besideDir {
		return besideOrigin(name)
	}
	return name
}

// openLoader connects for loaders.
func (d *dialer) openLoader(ctx context.Context) (*pgx.Conn, error) {
	conn, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := auditload.Setup(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// run loads until ctx is done.
func (t *table) run(ctx context.Context, tasks *sync.WaitGroup) {
	if t != nil {
		tasks.Go(func() { t.own.Run(ctx) })
		tasks.Go(func() { t.other.Run(ctx) })
	}
}

func (t *table) close() error {
	var errs []error
	if t != nil {
		for _, c := range t.conns {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// lags are how far the table is behind the chain that this process writes.
func (t *table) lags(log *audit.Log) []prometheus.Collector {
	if t == nil {
		return nil
	}
	behind := func() uint64 {
		loaded, _ := t.own.Loaded()
		return log.Stats().Appended - loaded
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("pgveil_audit_table_lag_records", "Records that are not in the table of the access log yet.", func() float64 { return float64(behind()) }),
		gauge("pgveil_audit_table_lag_seconds", "How long ago all records were in the table; 0 while they are.", func() float64 {
			if _, through := t.own.Loaded(); behind() > 0 {
				return time.Since(through).Seconds()
			}
			return 0
		}),
	}
}
