package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestQuarantineOfProcesses keeps a user out of two processes before one database,
// one of which is killed meanwhile.
func TestQuarantineOfProcesses(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	sites := []*site{newSite(t, server, database, "127.0.0.1:0", ""), newSite(t, server, database, "127.0.0.1:0", "")}
	sites[0].pgveil(t, 0, "schema", "--apply")
	var all []*running
	for _, s := range sites {
		all = append(all, s.serve(t, ""))
	}
	tool := func(code int, args ...string) string {
		t.Helper()
		return sites[0].pgveil(t, code, append([]string{"quarantine"}, args...)...)
	}
	connect := func(r *running, user string) (*pgx.Conn, error) {
		c, err := pgx.Connect(t.Context(), "postgres://"+user+"@"+r.address(t, listens)+"/"+database+"?sslmode=disable")
		if err == nil {
			t.Cleanup(func() { _ = c.Close(t.Context()) }) // the test may have ended the session
		}
		return c, err
	}
	refused := func(r *running) bool {
		_, err := connect(r, "alice")
		return err != nil && strings.Contains(err.Error(), "user alice is in quarantine")
	}
	ended := make(chan error, len(all))
	for _, r := range all {
		alice, err := connect(r, "alice")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := alice.WaitForNotification(t.Context()) // asks for nothing
			ended <- err
		}()
	}
	begun := time.Now()
	if got := tool(0, "add", "alice", "--for", "1h", "--because", "ticket 4711"); !strings.Contains(got, "in force") || !strings.Contains(got, "ticket 4711") {
		t.Errorf("quarantine add says %s", got)
	}
	for range all {
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "user alice is in quarantine") {
			t.Errorf("a session ends with %v", err)
		}
	}
	t.Logf("all sessions were over after %s", time.Since(begun))
	if err := all[1].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-all[1].exited
	all[1] = sites[1].serve(t, "")
	for i, r := range all {
		if !refused(r) {
			t.Errorf("process %d lets her in", i)
		}
		if _, err := connect(r, "bob"); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	tool(1, "release", "bob")
	tool(2, "add", "alice")
	tool(2, "add", "10.0.0.0/33", "--address", "--because", "x")
	tool(0, "release", "alice", "--because", "a mistake")
	for i, r := range all {
		for end := time.Now().Add(20 * time.Second); refused(r); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d does not let her in", i)
			}
		}
		r.stop(t)
	}
	if got := tool(0, "list"); !strings.Contains(got, "released by") {
		t.Errorf("quarantine list says %s", got)
	}
	for i, s := range sites {
		found := false
		for r, err := range audit.Read(s.log(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.HasPrefix(r.Message, "quarantine: user alice is in quarantine, by ") && len(r.Reasons) == 1 && r.Reasons[0] == "ticket 4711"
		}
		if !found {
			t.Errorf("the access log of process %d does not say who kept her out, and why", i)
		}
	}
}
