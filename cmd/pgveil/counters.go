package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
)

// openCounters opens the book of what callers got, before the ledger that the
// configuration chooses. Names are digested with the key. Whoever opens it has
// keepCounters run, and closes it.
func openCounters(cfg *config.Config, key []byte, raise alert.Raiser, metrics prometheus.Registerer) (*limits.Book, error) {
	if v := cfg.Counters.Valkey; v != nil {
		ledger, err := sharedCounters(v, key, raise)
		if err != nil {
			return nil, fmt.Errorf("counters.valkey: %w", err)
		}
		metrics.MustRegister(serverGauges(ledger)...)
		return limits.NewBook(ledger, time.Now), nil
	}
	ledger, err := limits.OpenJournal(cfg.CountersFile(), time.Now)
	if err != nil {
		return nil, err
	}
	return limits.NewBook(ledger, time.Now), nil
}

// sharedCounters makes a ledger before a server, which need not be there yet.
func sharedCounters(v *config.Valkey, key []byte, raise alert.Raiser) (*valkey.Ledger, error) {
	o := valkey.Options{
		Address: v.Address, User: v.User, Database: v.Database, Timeout: v.Timeout, Local: v.OnFailure == "local",
		Key: key, Alerts: raise, Now: time.Now,
	}
	var err error
	if o.Password, err = secretFile(v.Password); err != nil {
		return nil, err
	}
	if o.TLS, err = countersTLS(v); err != nil {
		return nil, err
	}
	return valkey.New(o), nil
}

// countersTLS is nil where the server is talked to in clear.
func countersTLS(v *config.Valkey) (*tls.Config, error) {
	if v.TLS == "disable" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(v.Address)
	if err != nil {
		return nil, err
	}
	return clientTLS(&config.ClientTLS{CA: v.CA, Name: cmp.Or(v.Name, host), Cert: v.Cert, Key: v.Key})
}

func serverGauges(l *valkey.Ledger) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pgveil_counters_up", Help: "1 while the server of counters answers.",
		}, func() float64 {
			if l.Stats().Away {
				return 0
			}
			return 1
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pgveil_counters_asked_total", Help: "Questions that the server of counters has answered.",
		}, func() float64 { return float64(l.Stats().Asked) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pgveil_counters_lost_total", Help: "How often the server of counters had forgotten what was counted.",
		}, func() float64 { return float64(l.Stats().Lost) }),
	}
}

// keepCounters tidies the book every second.
func keepCounters(ctx context.Context, b *limits.Book, log *slog.Logger) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		err := b.Tidy(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			log.Error("counters of limits", "err", err)
		}
		failing = err != nil
	}
}
