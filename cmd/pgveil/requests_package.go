package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// packer gives what answers requests for access: a package in the folder for
// them. One that is there from a run that was cut off right after it is made anew.
func (p *process) packer() (func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error), error) {
	dir := p.cfg.DSAR.Packages
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var to *dsar.Encryption
	if r := p.cfg.DSAR.Recipient; r != "" {
		e, err := dsar.NewEncryption([]string{r})
		if err != nil {
			return nil, err
		}
		to = &e
	}
	return func(ctx context.Context, conn *pgx.Conn, r state.Request) (done requests.Packed, err error) {
		g, err := p.privacy.Data.Graph(r.Kind)
		if err != nil {
			return done, err
		}
		done.File = requests.PackageName(r.ID)
		if to != nil {
			done.File += ".age"
		}
		path := filepath.Join(dir, done.File)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return done, err
		}
		out, err := newOutFile(path)
		if err != nil {
			return done, err
		}
		defer func() { err = errors.Join(err, out.drop()) }()
		m, err := p.packed(ctx, conn, g, r, to, out)
		if err != nil {
			return done, err
		}
		done.Manifest, done.Rows = m.Digest, rowsOf(m)
		return done, out.publish()
	}, nil
}

// packed writes a package for a request, encrypted where it is to somebody.
func (p *process) packed(ctx context.Context, conn *pgx.Conn, g *dsar.Graph, r state.Request, to *dsar.Encryption, out *outFile) (dsar.Manifest, error) {
	set, _ := p.privacy.Data.Current()
	c := set.Requests().Controller
	o := dsar.PackageOptions{
		PreparedBy: r.OpenedBy, Request: r.ID, Portable: r.What == policy.Portability.String(),
		Controller: dsar.Controller{Name: c.Name, Contact: c.Contact, Authority: c.Authority},
	}
	if p.cfg.Audit.Table == nil {
		o.Seen = seenInFiles(p.cfg.Audit, conn)
	}
	key := privacy.Key{Values: r.Key}
	if to == nil {
		return dsar.Package(ctx, conn, g, key, o, out)
	}
	sealed, err := to.Writer(out)
	if err != nil {
		return dsar.Manifest{}, err
	}
	m, err := dsar.Package(ctx, conn, g, key, o, sealed)
	if err != nil {
		return m, err
	}
	return m, sealed.Close()
}
