package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestServeKeepsAndSeals has a process remove what is old, say how much, and
// seal what a client sends: an operator opens that.
func TestServeKeepsAndSeals(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	if err := keygen(filepath.Join(s.dir, "sealed.key")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "pgveil.yaml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), "checkpoint: 100ms",
			"checkpoint: 100ms, keep: 400d, sealed: {what: [text, parameters], keys: sealed, key: sealed.key, keep: 90d}", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := readAuditKey(filepath.Join(s.dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(s.log(), audit.Options{SegmentSize: 1, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, days := range []int{500, 0} {
		for range 500 {
			r := audit.Record{Kind: audit.KindSession, Time: time.Now().AddDate(0, 0, -days), Message: strings.Repeat("x", 300)}
			if _, err := log.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	r := s.serve(t, "")
	const sql = "SELECT id FROM orders WHERE status = 'a literal'"
	conn, err := s.connect(t.Context(), r.address(t, listens), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "old records are gone", func() bool { return r.metrics(t)("pgveil_audit_first_record") > 0 })
	if metric := r.metrics(t); metric("pgveil_audit_room_bytes") <= 0 || metric("pgveil_audit_full") != 0 {
		t.Errorf("room: %v bytes, full: %v", metric("pgveil_audit_room_bytes"), metric("pgveil_audit_full"))
	}
	seq := uint64(0)
	for rec, err := range audit.Read(s.log(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Sealed != "" && rec.Command == "SELECT" {
			seq = rec.Seq
		}
	}
	if got, _ := auditRun(t, 0, "open", strconv.FormatUint(seq, 10), "--config", path); got != sql+"\n" {
		t.Errorf("record %d holds %q, want %q", seq, got, sql)
	}
	r.stop(t)
	if said, _ := auditRun(t, 0, "verify", "--dir", s.log(), "--key", filepath.Join(s.dir, "audit.key.pub")); !strings.Contains(said, "retired: records 0 to ") {
		t.Errorf("verify says:\n%s", said)
	}
}
