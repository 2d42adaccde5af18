package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// TestAuditSigned does what an auditor does: verifies with the public key and a
// checkpoint that was kept, has one record proved, and checks that elsewhere.
func TestAuditSigned(t *testing.T) {
	log, dir, pub := signedLog(t, nil)
	appendLogins(t, log, 1000)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	checkpoint := filepath.Join(dir, "checkpoint")
	kept := filepath.Join(t.TempDir(), "kept")
	list, err := readCheckpoints(filepath.Join(dir, "checkpoints.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, list[0].Note, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(pub)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(key))
	if out, _ := auditRun(t, 0, "key", strings.TrimSuffix(pub, ".pub")); out != string(key) {
		t.Errorf("key prints %q, want %q", out, key)
	}
	out, _ := auditRun(t, 0, "verify", "--dir", dir, "--key", text, "--checkpoint", kept)
	if !strings.Contains(out, "good: 1001 records") || !strings.Contains(out, "signed: 1001 records, by "+text) {
		t.Errorf("verify prints %s", out)
	}
	if out, _ := auditRun(t, 0, "verify", "--dir", dir); !strings.Contains(out, "were not looked at; give the public key") {
		t.Errorf("verify without a key prints %s", out)
	}
	proof := filepath.Join(t.TempDir(), "record.proof")
	auditRun(t, 0, "prove", "17", "--dir", dir, "--out", proof)
	out, _ = auditRun(t, 0, "check-proof", proof, "--key", pub)
	if !strings.Contains(out, `"seq":17,`) || !strings.Contains(out, "good: record 17 of crm.example/audit") {
		t.Errorf("check-proof prints %s", out)
	}
	if out, _ := auditRun(t, 0, "consistency", "--dir", dir, kept, checkpoint, "--key", pub); !strings.Contains(out, "good: the 1001 records") {
		t.Errorf("consistency prints %s", out)
	}
	if _, out := auditRun(t, 1, "consistency", "--dir", dir, checkpoint, kept, "--key", pub); !strings.Contains(out, "the older checkpoint is of 1001") {
		t.Errorf("consistency the wrong way round prints %s", out)
	}
	changed, err := os.ReadFile(proof)
	if err == nil {
		err = os.WriteFile(proof, bytes.Replace(changed, []byte("index 17"), []byte("index 18"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, out := auditRun(t, 1, "check-proof", proof, "--key", pub); !strings.Contains(out, "THE PROOF IS NOT GOOD") {
		t.Errorf("check-proof of a changed one prints %s", out)
	}
	// A whole log of somebody else's, under the same name.
	other, otherDir, _ := signedLog(t, nil)
	appendLogins(t, other, 1000)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, out := auditRun(t, 1, "verify", "--dir", otherDir, "--key", pub); !strings.Contains(out, "THE LOG IS NOT GOOD") ||
		!strings.Contains(out, "as they were signed: the first 0") {
		t.Errorf("verify of another log prints %s", out)
	}
	for _, args := range [][]string{
		{"prove"}, {"prove", "x", "--dir", dir}, {"check-proof", proof}, {"consistency", kept, kept},
		{"key", filepath.Join(dir, "none")}, {"verify", "--dir", dir, "--key", "nonsense"}, {"verify", "--dir", dir, "--checkpoint", pub},
	} {
		auditRun(t, 2, args...)
	}
	auditRun(t, 1, "key", strings.TrimSuffix(pub, ".pub"), "--origin", "again") // nothing is written over
	auditRun(t, 1, "prove", "1001", "--dir", dir)
}

// TestAuditBesideSigned verifies the second chain with the same key, under its
// own name.
func TestAuditBesideSigned(t *testing.T) {
	log, dir, pub := signedLog(t, nil)
	k, err := readAuditKey(strings.TrimSuffix(pub, ".pub"))
	if err != nil {
		t.Fatal(err)
	}
	k = k.For(besideOrigin(k.Name()))
	beside, err := audit.Open(filepath.Join(dir, besideDir), audit.Options{Key: &k})
	if err != nil {
		t.Fatal(err)
	}
	appendLogins(t, beside, 3)
	for _, l := range []*audit.Log{log, beside} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(dir, besideDir, "checkpoint")
	out, _ := auditRun(t, 0, "verify", "--dir", dir, "--key", pub, "--checkpoint", kept)
	if !strings.Contains(out, "signed: 1 records, by crm.example/audit+") || !strings.Contains(out, "signed: 4 records, by crm.example/audit/beside+") {
		t.Errorf("verify prints %s", out)
	}
	note, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(away, note, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, besideDir)); err != nil {
		t.Fatal(err)
	}
	if _, out := auditRun(t, 1, "verify", "--dir", dir, "--key", pub, "--checkpoint", away); !strings.Contains(out, "the folder beside is missing") {
		t.Errorf("verify without the second chain prints %s", out)
	}
}

// TestAuditKeyConfigured refuses keys that are not what the configuration says.
func TestAuditKeyConfigured(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	auditRun(t, 0, "key", key, "--origin", "crm.example/audit")
	open := filepath.Join(t.TempDir(), "open")
	text, err := os.ReadFile(key)
	if err == nil {
		err = os.WriteFile(open, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		a    config.Audit
		want string
	}{
		{config.Audit{Key: key, Origin: "other"}, "is for the origin crm.example/audit, and audit.origin is other"},
		{config.Audit{Key: key + "x", Origin: "other"}, "make one with"},
		{config.Audit{Key: open, Origin: "crm.example/audit"}, "may be read by others"},
		{config.Audit{Key: key + ".pub", Origin: "crm.example/audit"}, "may be read by others"},
		{config.Audit{Key: key, KeyBefore: key + "x", Origin: "crm.example/audit"}, "make one with"},
	} {
		if _, err := logOptions(tt.a); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("logOptions(%+v) = %v, want %q", tt.a, err, tt.want)
		}
	}
}
