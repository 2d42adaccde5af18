package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/requests"
)

// signedWait is how long a certificate waits for the checkpoint over its records.
const signedWait = 2 * time.Minute

// notary gives what erasures are written down in besides the database: the
// ledger, and certificates where the access log's checkpoints are signed.
func (p *process) notary(ledger *erasures.Ledger, dir string) (*requests.Notary, error) {
	o, err := logOptions(p.cfg.Audit)
	if err != nil {
		return nil, err
	}
	if dir == filepath.Join(p.cfg.Audit.Dir, besideDir) {
		besideKeysOf(o)
	}
	machine, _, _ := strings.Cut(proxyName(), ":")
	n := &requests.Notary{Ledger: ledger, Log: machine + ":" + dir, Record: p.recordErasure}
	if o.Key == nil {
		p.log.Warn("erasures: without audit.key nothing signs their certificates: there are none")
		return n, nil
	}
	by := erasures.Issuer{Key: *o.Key}
	if o.KeyBefore != nil {
		by.Keys = append(by.Keys, o.KeyBefore.Public())
	}
	log := audit.NewProver(dir)
	n.Certify = func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error) {
		places := make([]erasures.Place, len(records))
		for i, seq := range records {
			if err := p.awaitSigned(ctx, seq); err != nil {
				return nil, err
			}
			places[i] = erasures.Place{Log: log, Seq: seq}
		}
		c.Policy, c.Issued = p.enforcer.Engine().Policy.Generation(), time.Now()
		if c.Issued.Before(c.Completed) { // by the server's clock, which may be ahead of ours
			c.Issued = c.Completed
		}
		return erasures.NewCertificate(c, by, places, secrets...)
	}
	return n, nil
}

// awaitSigned waits until a checkpoint over a record is signed.
func (p *process) awaitSigned(ctx context.Context, seq uint64) error {
	ctx, done := context.WithTimeoutCause(ctx, signedWait, errors.New("no checkpoint over it was signed"))
	defer done()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for p.audit.Stats().Signed <= seq {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("record %d of the access log: %w", seq, context.Cause(ctx))
		}
	}
	return nil
}

// recordErasure writes an entry of the ledger of erasures into the access log,
// durably: each vouches for the other.
func (p *process) recordErasure(ctx context.Context, e erasures.Entry) (seq uint64, err error) {
	r := audit.Record{
		Kind: audit.KindPrivacy, Login: p.cfg.Server.Login, User: e.By, App: "requests", Database: p.cfg.Database, Command: "PRIVACY",
		Shape: fmt.Sprintf("request %d: ledger of erasures: %s", e.Request, e.State), Message: "done", Event: e.Digest.String(),
		Generation: p.enforcer.Engine().Policy.Generation(),
	}
	if seq, err = p.audit.Append(&r); err != nil {
		return 0, err
	}
	return seq, p.audit.Sync(ctx, seq)
}
