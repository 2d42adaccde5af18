package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy/guard"
)

// newGuard makes what bounds guesses at passwords; nil when that is off.
func newGuard(c config.Guard, registry *prometheus.Registry) (*guard.Guard, error) {
	if c.Off {
		return nil, nil
	}
	limit := func(l config.GuardLimit) guard.Limit { return guard.Limit{Failures: l.Failures, Every: l.Every} }
	g, err := guard.New(guard.Options{
		Pair: limit(c.Pair), Address: limit(c.Address), Network: limit(c.Network), Login: limit(c.Login),
		Slow: c.Slow, IPv4: c.IPv4, IPv6: c.IPv6, Known: c.Known, Entries: c.Entries,
	})
	if err != nil {
		return nil, err
	}
	registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "pgveil_login_guard_entries", Help: "Failed logins, and where logins got in, that are remembered."},
		func() float64 { return float64(g.Entries()) }))
	return g, nil
}
