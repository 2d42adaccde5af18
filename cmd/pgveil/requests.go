package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/requests"
)

// startWorkers works on requests of data subjects until the context ends.
func (p *process) startWorkers(ctx context.Context, tasks *sync.WaitGroup) {
	for i := range p.cfg.DSAR.Running() {
		w := p.worker(fmt.Sprintf("worker %d of %s", i+1, proxyName()))
		tasks.Go(func() { w.Work(ctx) })
	}
	w := p.worker("clock of " + proxyName())
	tasks.Go(func() { w.Watch(ctx) })
}

func (p *process) worker(name string) *requests.Worker {
	return &requests.Worker{Service: p.privacy, Name: name, Record: p.recordDeed, Alerts: p.alerts, Log: p.log}
}

// recordDeed writes what is done about a request into the access log, durably.
func (p *process) recordDeed(ctx context.Context, d requests.Deed) (seq uint64, err error) {
	r := audit.Record{
		Kind: audit.KindPrivacy, Login: p.cfg.Server.Login, User: d.By, App: "requests", Database: p.cfg.Database, Command: "PRIVACY",
		Shape: fmt.Sprintf("request %d: %s", d.Request, d.What), Message: "done", Relation: d.Table, Rows: d.Rows, Event: d.Digest,
		Generation: p.enforcer.Engine().Policy.Generation(),
	}
	if d.Token != "" {
		r.Subjects = []string{d.Kind + ":" + d.Token}
	}
	if seq, err = p.audit.Append(&r); err != nil {
		return 0, err
	}
	return seq, p.audit.Sync(ctx, seq)
}
