package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain takes no more connections and waits for transactions to end, as long
// as the configuration says, or until a second signal.
func (p *process) drain(listeners []*door) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Limits.Drain)
	defer cancel()
	p.log.Info("draining", "sessions", p.server.Sessions())
	p.leave(ctx, listeners)
	if err := p.server.Shutdown(ctx); err != nil {
		p.log.Warn("drain", "err", err)
	}
}

// leave closes the listeners. Where others take the connections that come next,
// those that we have taken are served a while longer.
func (p *process) leave(ctx context.Context, listeners []*door) {
	followed := false
	for _, d := range listeners {
		followed = followed || d.kind != own
		if err := d.leave(); err != nil {
			p.log.Warn("closing a listener", "err", err)
		}
	}
	if followed {
		select {
		case <-ctx.Done():
		case <-time.After(lameDuck):
		}
	}
	for _, d := range listeners {
		if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			p.log.Error("closing a listener", "err", err)
		}
	}
}

// tell notifies the service manager, if there is one.
func (p *process) tell(state string) {
	if err := tell(state); err != nil {
		p.log.Warn("service manager", "err", err)
	}
}
