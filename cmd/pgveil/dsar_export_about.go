package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/report"
)

// controllerOf takes from what the organisation says of itself what data
// subjects are told.
func controllerOf(o report.Organisation) dsar.Controller {
	c := dsar.Controller{
		Name: o.Name, Address: o.Address, Contact: o.Contact, Officer: o.DPO.String(), Authority: o.Authority,
		Sources: o.Sources, Automated: o.Automated, Erasure: o.Erasure,
	}
	for _, r := range o.Recipients {
		c.Outside = append(c.Outside, dsar.Outside{Name: r.Name, About: r.About})
	}
	for _, t := range o.Transfers {
		c.Transfers = append(c.Transfers, dsar.Transfer{To: t.To, Safeguards: t.Safeguards})
	}
	return c
}

// seenInFiles reads who saw a subject's rows from the access log's files, both
// chains.
func seenInFiles(a config.Audit, conn *pgx.Conn) func(ctx context.Context, kind, key string) (dsar.Seen, error) {
	return func(ctx context.Context, kind, key string) (dsar.Seen, error) {
		token, err := tokenOf(ctx, conn, kind, key)
		if err != nil {
			return dsar.Seen{}, err
		}
		by := map[[2]string]*dsar.SeenBy{}
		seen := dsar.Seen{Recorded: true, By: []dsar.SeenBy{}}
		for _, dir := range []string{a.Dir, filepath.Join(a.Dir, besideDir)} {
			if !isDir(dir) {
				continue
			}
			records := func(yield func(audit.Record, error) bool) {
				for r, err := range audit.Read(dir, 0) {
					if err == nil {
						err = ctx.Err()
					}
					if err == nil && (seen.Since.IsZero() || r.Time.Before(seen.Since)) {
						seen.Since = r.Time.UTC()
					}
					if !yield(r, err) {
						return
					}
				}
			}
			all, err := audit.WhoSaw(records, kind, token, time.Time{}, time.Time{})
			if err != nil {
				return dsar.Seen{}, fmt.Errorf("read the access log: %w", err)
			}
			for _, s := range all {
				addSighting(by, s)
			}
		}
		for _, b := range by {
			seen.By = append(seen.By, *b)
		}
		slices.SortFunc(seen.By, func(a, b dsar.SeenBy) int {
			return cmp.Or(cmp.Compare(b.Certain, a.Certain), cmp.Compare(b.Possible, a.Possible), cmp.Compare(a.Roles, b.Roles), cmp.Compare(a.Purpose, b.Purpose))
		})
		return seen, nil
	}
}

func addSighting(by map[[2]string]*dsar.SeenBy, s audit.Sighting) {
	at := s.Time.UTC()
	of := [2]string{strings.Join(s.Roles, ", "), s.Purpose}
	if s.Purpose == "" && s.Kind == audit.KindPrivacy {
		of[1] = dsar.Requests
	}
	b := by[of]
	if b == nil {
		b = &dsar.SeenBy{Roles: of[0], Purpose: of[1], First: at, Last: at}
		by[of] = b
	}
	if s.Certain {
		b.Certain++
	} else {
		b.Possible++
	}
	if at.Before(b.First) {
		b.First = at
	}
	if at.After(b.Last) {
		b.Last = at
	}
}

// tokenOf gives what the access log calls a subject; "" where it names them
// nowhere, or names nobody.
func tokenOf(ctx context.Context, conn *pgx.Conn, kind, key string) (token string, err error) {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.to_regclass('pgveil.subjects') IS NOT NULL").Scan(&there); err != nil || !there {
		return "", err
	}
	err = conn.QueryRow(ctx, "SELECT token FROM pgveil.subjects WHERE kind = $1 AND key = $2", kind, key).Scan(&token)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return token, err
}

// How often progress is told to a terminal, and to a file.
const (
	tellTerminal = 200 * time.Millisecond
	tellFile     = 5 * time.Second
)

// progress tells how far a package has come.
func (p *packing) progress() func(dsar.Progress) {
	if p.quiet {
		return nil
	}
	every, end := tellFile, "\n"
	if isTerminal(p.stderr) {
		every, end = tellTerminal, "\x1b[K\r"
	}
	began, told := time.Now(), time.Now()
	return func(is dsar.Progress) {
		if time.Since(told) < every {
			return
		}
		told = time.Now()
		fmt.Fprintf(p.stderr, "file %d of %d, %.1f MB, %.0f MB/s%s", is.At, is.Of, float64(is.Bytes)/1e6, float64(is.Bytes)/1e6/time.Since(began).Seconds(), end)
	}
}

// settle clears the line of progress.
func (p *packing) settle() {
	if !p.quiet && isTerminal(p.stderr) {
		fmt.Fprint(p.stderr, "\x1b[K")
	}
}
