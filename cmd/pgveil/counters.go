package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/limits"
)

// openCounters opens the book of what callers got, before the ledger that the
// configuration chooses. Whoever opens it has keepCounters run, and closes it.
func openCounters(cfg *config.Config, key []byte, raise alert.Raiser, metrics prometheus.Registerer) (*limits.Book, error) {
	ledger, err := limits.OpenJournal(cfg.CountersFile(), time.Now)
	if err != nil {
		return nil, err
	}
	return limits.NewBook(ledger, time.Now), nil
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
