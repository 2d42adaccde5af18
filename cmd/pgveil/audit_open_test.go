package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// TestAuditOpen shows what a record holds sealed, and no more once pgveil has
// destroyed the key, which a hold delays.
func TestAuditOpen(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := keygen(in("sealed.key")); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("database: crm\nserver: {host: db.example, login: pgveil}\nkey: pgveil.key\nlisten: ['127.0.0.1:6432']\nauth: {method: trust}\npolicy: %s\n"+
		"audit: {dir: %s, sealed: {what: [text, parameters], keys: %s, key: %s, keep: 90d}}\n", dir, in("audit"), in("keys"), in("sealed.key"))
	if err := os.WriteFile(in("pgveil.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(in("pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cfg: cfg, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if _, err := p.sealing(); err != nil {
		t.Fatal(err)
	}
	if p.audit, err = audit.Open(in("audit"), audit.Options{}); err != nil {
		t.Fatal(err)
	}
	r := audit.Record{Kind: audit.KindStatement, Session: "s", Fingerprint: "f"}
	var c audit.Contents
	c.CutText([]byte("SELECT \x1b[2J $1, $2, $3"), 30)
	c.Add([]byte("bob"), 5, false)
	c.Add([]byte{1, 2}, 2, true)
	c.AddNull()
	c.Count = 4
	if err := p.sealer.Seal(time.Now().AddDate(0, -5, 0), &r, c); err != nil {
		t.Fatal(err)
	}
	if _, err := p.audit.Append(&r); err != nil {
		t.Fatal(err)
	}
	open := func() (string, string) {
		var out, errs bytes.Buffer
		runAudit(t.Context(), []string{"open", "0", "--config", in("pgveil.yaml")}, &out, &errs)
		return out.String(), errs.String()
	}
	const want = "SELECT '\\x1b'[2J $1, $2, $3 (8 bytes more)\n$1 = bob (2 bytes more)\n$2 = \\x0102\n$3 = NULL\n… (1 parameters more)\n"
	if err := os.WriteFile(in("audit/hold"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.destroySealedNow(); err != nil {
		t.Fatal(err)
	}
	if got, errs := open(); got != want {
		t.Errorf("with a hold: %q, %s\nwant %q", got, errs, want)
	}
	if err := os.Remove(in("audit/hold")); err != nil {
		t.Fatal(err)
	}
	if err := p.destroySealedNow(); err != nil {
		t.Fatal(err)
	}
	if got, errs := open(); got != "" || !strings.Contains(errs, "is not there any more") {
		t.Errorf("when the key is destroyed: %q, %s", got, errs)
	}
	if err := p.audit.Close(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for r, err := range audit.Read(in("audit"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(r.Message, "can be opened no more: the key is destroyed") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("the log says %d times that the key is destroyed", said)
	}
}

// TestAuditOpenImages shows the rows that a statement changed, as they were and as
// they became. When the key is destroyed the hashes stay, and the log is whole.
func TestAuditOpenImages(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := keygen(in("sealed.key")); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("database: crm\nserver: {host: db.example, login: pgveil}\nkey: pgveil.key\nlisten: ['127.0.0.1:6432']\nauth: {method: trust}\npolicy: %s\n"+
		"audit: {dir: %s, sealed: {images: ['crm.*'], keys: %s, key: %s, keep: 90d}}\n", dir, in("audit"), in("keys"), in("sealed.key"))
	if err := os.WriteFile(in("pgveil.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(in("pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cfg: cfg, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if _, err := p.sealing(); err != nil {
		t.Fatal(err)
	}
	if p.audit, err = audit.Open(in("audit"), audit.Options{}); err != nil {
		t.Fatal(err)
	}
	images := audit.Record{Kind: audit.KindImages, Ref: 1, Session: "s", Command: "UPDATE", Relation: "crm.customers"}
	var i audit.Images
	i.Add([]string{"id"}, audit.Change{Before: &audit.Row{JSON: []byte(`{"id":7,"name":"Ann\u001b"}`)}, After: &audit.Row{JSON: []byte(`{"id":7,"name":"Eve"}`)}, Doubt: true})
	i.Add([]string{"id"}, audit.Change{After: &audit.Row{}})
	if err := p.sealer.SealImages(time.Now().AddDate(0, -5, 0), &images, &i); err != nil {
		t.Fatal(err)
	}
	for _, r := range []audit.Record{
		{Kind: audit.KindSystem, Message: "start"}, {Kind: audit.KindStatement, Decision: "allow", Command: "UPDATE"}, images,
		{Kind: audit.KindImages, Ref: 1, Command: "DELETE", Relation: "crm.leads", Missing: 3, Message: "why"},
		{Kind: audit.KindOutcome, Ref: 1, Tag: "UPDATE 2"},
	} {
		if _, err := p.audit.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, string) {
		var out, errs bytes.Buffer
		runAudit(t.Context(), args, &out, &errs)
		return out.String(), errs.String()
	}
	want := "UPDATE of crm.customers, the row before is perhaps older than the one that was overwritten\n  before " + images.Images[0].Before + "\n  after  " + images.Images[0].After +
		"\n  key    id = 7\n  was    name = \"Ann\\u001b\"\n  became name = \"Eve\"\n" +
		"UPDATE of crm.customers\n  before -\n  after  too long\n  the values are not kept: too long, or not text\n" +
		"DELETE of crm.leads: images of 3 rows are missing: why\n"
	if got, errs := run("open", "1", "--config", in("pgveil.yaml")); got != want {
		t.Errorf("opened: %q, %s\nwant %q", got, errs, want)
	}
	if got, errs := run("open", "1", "--json", "--config", in("pgveil.yaml")); !strings.Contains(got, `"after":{"name":"Eve"}`) {
		t.Errorf("opened as JSON: %s, %s", got, errs)
	}
	if got, errs := run("query", "--json", "--dir", in("audit")); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"changed":[{`) || !strings.Contains(got, images.Images[0].Before) || strings.Contains(got, "sealed") {
		t.Errorf("query: %s, %s", got, errs)
	}
	if err := p.destroySealedNow(); err != nil {
		t.Fatal(err)
	}
	if got, errs := run("open", "1", "--config", in("pgveil.yaml")); got != "" || !strings.Contains(errs, "is not there any more") {
		t.Errorf("when the key is destroyed: %q, %s", got, errs)
	}
	if got, errs := run("query", "--json", "--dir", in("audit")); !strings.Contains(got, images.Images[0].Before) {
		t.Errorf("query when the key is destroyed: %s, %s", got, errs)
	}
	if err := p.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if head, err := audit.Verify(in("audit")); err != nil {
		t.Errorf("%+v, %v", head, err)
	}
}
