package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/retention"
)

const (
	retentionLooks = 20 * time.Second // is looked whether a run is due
	retentionAgain = 5 * time.Minute  // from one that failed to the next look
)

// retentionMetrics are what a process knows of its runs. With several proxies the
// newest is right: each has its turn.
type retentionMetrics struct {
	rows    *prometheus.CounterVec
	due     *prometheus.GaugeVec
	success prometheus.Gauge
	failed  prometheus.Counter
}

func newRetentionMetrics(r prometheus.Registerer) *retentionMetrics {
	m := &retentionMetrics{
		rows:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_retention_rows_total", Help: "Rows that scheduled runs of this process took."}, []string{"rule"}),
		due:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pgveil_retention_due_rows", Help: "Rows that were due and still there when the last run ended, held ones included."}, []string{"rule"}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgveil_retention_last_success_timestamp_seconds", Help: "When a scheduled run of this process last carried out every rule; 0: not yet."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_retention_failed_runs_total", Help: "Scheduled runs of this process that did not carry out every rule."}),
	}
	r.MustRegister(m.rows, m.due, m.success, m.failed)
	return m
}

// retentionClock says when this process begins a run.
type retentionClock struct {
	began time.Time // the process
	again time.Time // not before that: the last try failed
}

// keepRetention removes what is due when it is time, until the context ends. Of
// several processes the first does; the others see that it was done.
func (p *process) keepRetention(ctx context.Context) {
	if _, scheduled := p.cfg.Schedule(); !scheduled {
		return
	}
	m := newRetentionMetrics(p.registry)
	clock := retentionClock{began: time.Now()}
	tick := time.NewTicker(retentionLooks)
	defer tick.Stop()
	for {
		if time.Now().After(clock.again) {
			if err := p.retain(ctx, m, clock.began); err != nil && ctx.Err() == nil {
				clock.again = time.Now().Add(retentionAgain)
				p.retentionFailed(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *process) retentionFailed(err error) {
	p.log.Error("retention was not carried out as the policy says", "err", err)
	p.alerts.Raise(alert.Event{
		Name: "retention_run_failed", Severity: alert.Warning, Message: "rows whose time is over could not all be removed: pgveil retention plan says why",
		Details: []slog.Attr{slog.String("why", err.Error())},
	})
}

// retain begins a run where one is due: its time has come, and nobody has begun one
// since. A process takes no time that was over when it started, unless there was a
// run before: then one was missed.
func (p *process) retain(ctx context.Context, m *retentionMetrics, began time.Time) (err error) {
	var now, last time.Time
	err = p.memory.use(ctx, func(conn *pgx.Conn) (err error) {
		now, last, err = retention.Scheduled(ctx, conn)
		return err
	})
	if err != nil {
		return err
	}
	if last.IsZero() {
		last = began
	}
	if schedule, _ := p.cfg.Schedule(); !schedule.Slot(now).After(last) {
		return nil
	}
	conn, err := p.own.open(ctx)
	if err != nil {
		return err
	}
	result, err := p.retainNow(ctx, conn)
	wait, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if closed := conn.Close(wait); errors.Is(err, retention.ErrRunning) {
		return closed // another process has its turn
	}
	m.tell(result, err)
	p.log.Info("retention", "run", result.Run, "state", result.State, "rows", result.Rows())
	if err != nil {
		return fmt.Errorf("run %d: %w: %s", result.Run, err, firstRefusal(result))
	}
	return nil
}

func (p *process) retainNow(ctx context.Context, conn *pgx.Conn) (retention.Result, error) {
	key, err := readKey(p.cfg.Key)
	if err != nil {
		return retention.Result{}, err
	}
	engine := p.enforcer.Engine()
	l := retentionRecords{cfg: p.cfg, shred: p.shredder(), values: p.values(), login: p.cfg.Server.Login, by: "schedule of " + proxyName(), app: "pgveil serve", generation: engine.Policy.Generation(), write: func(ctx context.Context, list ...*audit.Record) error {
		return appendAll(ctx, p.audit, list)
	}}
	o := l.options(key, engine)
	o.Scheduled = true
	return l.run(ctx, conn, o)
}

// firstRefusal says of the first rule that was not carried out why.
func firstRefusal(r retention.Result) string {
	for _, one := range r.Rules {
		switch {
		case one.Error != "":
			return one.Rule + ": " + one.Error
		case len(one.Refused) > 0:
			return one.Rule + ": " + one.Refused[0]
		}
	}
	return "it is not known why"
}

func (m *retentionMetrics) tell(r retention.Result, err error) {
	for _, one := range r.Rules {
		m.rows.WithLabelValues(one.Rule).Add(float64(one.Rows))
		m.due.WithLabelValues(one.Rule).Set(float64(one.Due))
	}
	if err != nil {
		m.failed.Inc()
		return
	}
	m.success.SetToCurrentTime()
}
