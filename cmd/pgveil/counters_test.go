package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// TestCounters opens books as configured, twice each, and has what one of them gave
// count for the other one.
func TestCounters(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("of the server\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := redisserver.Start(t.Context(), redisserver.Options{Settings: []string{"--requirepass", "of the server"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	raise := alert.Logger{Log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]config.Counters{
		"by default": {},
		"a file":     {File: filepath.Join(dir, "counts")},
		"a server":   {Valkey: &config.Valkey{Address: server.Addr(), TLS: "disable", Password: secret, Timeout: 5 * time.Second, OnFailure: "refuse"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &config.Config{Counters: c, Audit: config.Audit{Dir: filepath.Join(dir, "audit")}}
			limit := limits.Limit{
				Limit:   policy.Limit{Of: policy.LimitRows, Most: 5, Per: policy.PerWindow, Window: time.Hour, Then: policy.ThenRefuse},
				Counter: limits.Counter{Of: policy.LimitRows, Whose: policy.OfUser, Who: "alice", Window: time.Hour},
			}
			for _, want := range []int{3, 2} {
				metrics := prometheus.NewRegistry()
				book, err := openCounters(cfg, []byte("key"), raise, metrics)
				if err != nil {
					t.Fatal(err)
				}
				defer book.Close(t.Context())
				v, err := book.Take(t.Context(), &limits.Taking{Limits: []limits.Limit{limit}, Rows: make([]limits.Row, 3), Patient: true})
				if err != nil || v.Rows != want {
					t.Errorf("%d rows are given, want %d: %v", v.Rows, want, err)
				}
				found, err := metrics.Gather()
				if err != nil || c.Valkey != nil && (len(found) != 3 || found[2].GetMetric()[0].GetGauge().GetValue() != 1) {
					t.Errorf("metrics are %v, %v", found, err)
				}
			}
		})
	}
}

func TestCountersRefused(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("seen by all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		valkey config.Valkey
		want   string
	}{
		{config.Valkey{Address: "counters:6379", TLS: "verify-full", CA: "/nowhere/ca.pem"}, "ca.pem"},
		{config.Valkey{Address: "counters:6379", TLS: "verify-full", CA: open}, "has no certificate"},
		{config.Valkey{Address: "counters:6379", TLS: "disable", Password: open}, "may be read by others"},
		{config.Valkey{Address: "counters:6379", TLS: "disable", Password: "/nowhere/secret"}, "secret"},
	} {
		cfg := &config.Config{Counters: config.Counters{Valkey: &tt.valkey}}
		if _, err := openCounters(cfg, []byte("key"), nil, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.valkey, err, tt.want)
		}
	}
}
