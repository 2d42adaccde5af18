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
