package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// TestTrailIsOpened puts the trail of a rectification into a log, and opens it as
// "pgveil audit open" does.
func TestTrailIsOpened(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	conn := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	doc, err := policy.Load(filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	g, err := dsar.NewGraph(set, cat, "customer")
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := audit.NewSealer(filepath.Join(t.TempDir(), "keys"), "test/audit", bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(dir, audit.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	begun := audit.Record{Kind: audit.KindPrivacy, User: "petra", Command: "PRIVACY", Shape: "PRIVACY RECTIFY customer ?", Message: "begun"}
	if _, err := log.Append(&begun); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("long ", 1<<18)
	_, err = dsar.Rectify(t.Context(), conn, g, privacy.Key{Values: []string{"1"}}, []dsar.Change{
		{Table: "public.customers", Column: "phone", Value: "+49 171 5550 199"},
		{Table: "public.tickets", Row: privacy.Key{Values: []string{"1"}}, Column: "body", Value: long},
	}, dsar.RectifyOptions{Record: func(_ context.Context, rows []dsar.RectifiedRow) error {
		for _, row := range rows {
			r := audit.Record{Kind: audit.KindImages, Ref: begun.Seq, Command: "UPDATE", Relation: row.Table}
			if err := sealer.SealImages(time.Now(), &r, row.Images()); err != nil {
				return err
			}
			if _, err := log.Append(&r); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := openAll(sealer, dir, &begun)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := printImages(&text, got.Changed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"UPDATE of public.customers", `was    phone = "+49 30 9018 2273"`, `became phone = "+49 171 5550 199"`, "UPDATE of public.tickets", "the values are not kept: too long"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the trail does not say %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "Keller") {
		t.Errorf("the trail holds what was not changed:\n%s", text.String())
	}
}
