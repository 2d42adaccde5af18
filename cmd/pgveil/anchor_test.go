package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// signedLog makes a log with a key, whose checkpoints go to signed; its folder
// and the file of the public key.
func signedLog(t *testing.T, signed func(audit.Checkpoint, uint64)) (log *audit.Log, dir, pub string) {
	t.Helper()
	dir = t.TempDir()
	key := filepath.Join(dir, "audit.key")
	auditRun(t, 0, "key", key, "--origin", "crm.example/audit")
	o, err := logOptions(config.Audit{Key: key, Origin: "crm.example/audit", Checkpoint: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	o.Signed, o.SegmentSize = signed, 1
	dir = filepath.Join(dir, "audit")
	if log, err = audit.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	return log, dir, key + ".pub"
}

func appendLogins(t *testing.T, log *audit.Log, n int) {
	t.Helper()
	for range n {
		if _, err := log.Append(&audit.Record{Kind: audit.KindSession, User: "alice", Message: "login"}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnchors copies checkpoints to a file and to a server that refuses the
// first post. Both have all of them in the end, in order.
func TestAnchors(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var posts atomic.Int32
	got := make(chan []byte, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer sesame" {
			t.Errorf("a post with %v, %v", r.Header, err)
		}
		if posts.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got <- body
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "checkpoints")
	all, err := newAnchors([]config.Anchor{{File: file}, {HTTP: server.URL, Token: token}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var want []audit.Checkpoint
	log, dir, pub := signedLog(t, func(c audit.Checkpoint, _ uint64) {
		want = append(want, c)
		all.add(c)
	})
	appendLogins(t, log, 1000)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for i, c := range want {
		if body := <-got; string(body) != string(c.Note) {
			t.Errorf("post %d is %q, want %q", i, body, c.Note)
		}
	}
	all.close()
	for _, a := range all.list {
		if lag := a.lag(); lag != 0 {
			t.Errorf("%s is %v records behind", a.name, lag)
		}
	}
	kept, err := readCheckpoints(file)
	same := func(a, b audit.Checkpoint) bool { return string(a.Note) == string(b.Note) }
	if err != nil || len(want) < 2 || !slices.EqualFunc(kept, want, same) {
		t.Errorf("the file has %d checkpoints of %d, %v", len(kept), len(want), err)
	}
	auditRun(t, 0, "verify", "--dir", dir, "--key", pub, "--checkpoint", file)
}

// TestAnchorNeverBlocks has an anchor that takes nothing. Checkpoints go on, the
// newest wait, and the lag says so.
func TestAnchorNeverBlocks(t *testing.T) {
	all, err := newAnchors([]config.Anchor{{File: t.TempDir()}}, slog.New(slog.DiscardHandler)) // a folder
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(anchorQueue + 500) {
		all.add(audit.Checkpoint{Origin: "x", Size: n + 1})
	}
	a := all.list[0]
	if c, _, _ := a.next(); c.Size != 501 || a.lag() != anchorQueue+500 {
		t.Errorf("the oldest that waits is of %d records, the lag %v", c.Size, a.lag())
	}
	all.close()
}
