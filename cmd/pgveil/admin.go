package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveAdmin serves metrics and health until the context ends. It is for the
// operators' network: nothing here asks who is calling, and nothing here tells
// of data.
func (p *process) serveAdmin(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.ready)
	if p.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	p.log.Info("admin", "address", ln.Addr().String())
	stop := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Shutdown(closing); err != nil {
			p.log.Debug("closing admin", "err", err)
		}
	})
	defer stop()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ready tells whether statements can be served: the server answers, the access
// log takes records, and the database is not held after a restore.
func (p *process) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := p.audit.Stats().Err; err != nil {
		http.Error(w, "access log: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	if _, err := p.enforcer.Look(ctx); err != nil {
		p.log.Warn("not ready", "err", err)
		http.Error(w, "server or policy: see pgveil's log", http.StatusServiceUnavailable)
		return
	}
	if why := p.restored.held(); why != "" {
		http.Error(w, why+": run pgveil dsar replay", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
