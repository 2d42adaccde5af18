package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// TestAuditRetire removes old records of both chains as an operator does: looks
// first, is stopped by a hold, and removes.
func TestAuditRetire(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	pgveil := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if status := runAudit(t.Context(), args, &out, &errs); status != 0 {
			t.Fatalf("%v: status %d: %s", args, status, errs.String())
		}
		return out.String()
	}
	pgveil("key", in("audit.key"), "--origin", "crm.example/audit")
	key, err := readAuditKey(in("audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("database: crm\nserver: {host: db.example, login: pgveil}\nkey: pgveil.key\nlisten: ['127.0.0.1:6432']\nauth: {method: trust}\npolicy: %s\n"+
		"audit: {dir: %s, key: %s, origin: crm.example/audit, keep: 400d}\n", dir, in("audit"), in("audit.key"))
	if err := os.WriteFile(in("pgveil.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, chain := range []string{in("audit"), in("audit/beside")} {
		k := key
		if chain != in("audit") {
			k = key.For("crm.example/audit/beside")
		}
		log, err := audit.Open(chain, audit.Options{SegmentSize: 1, Key: &k})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			r := audit.Record{Kind: audit.KindSession, Time: time.Now().AddDate(0, 0, i-1000), Message: strings.Repeat("x", 300)}
			if _, err := log.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	said := pgveil("retire", "--config", in("pgveil.yaml"), "--dry-run")
	if !strings.Contains(said, in("audit")+": records 0 to ") || !strings.Contains(said, in("audit/beside")+": records 0 to ") {
		t.Errorf("the preview says:\n%s", said)
	}
	if err := os.WriteFile(in("audit/hold"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := pgveil("retire", "--config", in("pgveil.yaml")); !strings.Contains(said, "there is a hold") {
		t.Errorf("with a hold:\n%s", said)
	}
	if err := os.Remove(in("audit/hold")); err != nil {
		t.Fatal(err)
	}
	if said := pgveil("retire", "--config", in("pgveil.yaml")); strings.Count(said, " are removed; the last was of ") != 2 {
		t.Errorf("retire says:\n%s", said)
	}
	if said := pgveil("retire", "--config", in("pgveil.yaml")); strings.Count(said, ": there is nothing to remove") != 2 {
		t.Errorf("again:\n%s", said)
	}
	said = pgveil("verify", "--dir", in("audit"), "--key", in("audit.key.pub"))
	if strings.Count(said, "retired: records 0 to ") != 2 || strings.Count(said, "good: ") != 2 {
		t.Errorf("verify says:\n%s", said)
	}
}

// TestShipFloor keeps what sinks do not have, and everything where that cannot
// be seen.
func TestShipFloor(t *testing.T) {
	dir := t.TempDir()
	a := config.Audit{Dir: dir}
	if got := shipFloor(a, dir); got != math.MaxUint64 {
		t.Errorf("without a sink: %d", got)
	}
	a.Ship = []config.Sink{{Name: "siem"}}
	if got := shipFloor(a, dir); got != 0 {
		t.Errorf("of a sink that has not begun: %d", got)
	}
	a.Ship = nil
	if err := os.WriteFile(filepath.Join(dir, "ship"), nil, 0o600); err != nil { // in place of the folder of cursors
		t.Fatal(err)
	}
	if got := shipFloor(a, dir); got != 0 {
		t.Errorf("of cursors that cannot be read: %d", got)
	}
}
