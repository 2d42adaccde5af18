package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/requests"
)

// startWorkers works on requests of data subjects until the context ends.
func (p *process) startWorkers(ctx context.Context, tasks *sync.WaitGroup) error {
	for i := range p.cfg.DSAR.Running() {
		w, err := p.worker(fmt.Sprintf("worker %d of %s", i+1, proxyName()))
		if err != nil {
			return err
		}
		tasks.Go(func() { w.Work(ctx) })
	}
	w, err := p.worker("clock of " + proxyName())
	if err != nil {
		return err
	}
	tasks.Go(func() { w.Watch(ctx) })
	return nil
}

func (p *process) worker(name string) (*requests.Worker, error) {
	w := &requests.Worker{Service: p.privacy, Name: name, Record: p.recordDeed, Alerts: p.alerts, Log: p.log}
	var err error
	if w.Notary, err = p.notary(p.restored.ledger, p.logDir); err != nil {
		return nil, err
	}
	if w.Package, err = p.packer(); err != nil {
		return nil, fmt.Errorf("dsar.packages: %w", err)
	}
	return w, nil
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
	last := seq
	if d.Images != nil && p.sealer != nil {
		if last, err = p.recordImages(seq, d); err != nil {
			return 0, err
		}
	}
	return seq, p.audit.Sync(ctx, last)
}

// recordImages seals what a row was and became into the access log.
func (p *process) recordImages(of uint64, d requests.Deed) (seq uint64, err error) {
	r := audit.Record{Kind: audit.KindImages, Ref: of, Login: p.cfg.Server.Login, Command: "UPDATE", Relation: d.Table}
	if err := p.sealer.SealImages(time.Now(), &r, d.Images); err != nil {
		return 0, fmt.Errorf("sealing what a row was: %w", err)
	}
	return p.audit.Append(&r)
}
