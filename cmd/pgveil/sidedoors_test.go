package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const watchDoors = `overlap: true
side_doors:
  every: 200ms
  allow:
    - {users: [bea], from: [loopback], because: "the nightly backup"}
`

// TestSideDoors has two proxies serve while clients come and go through both and
// around them: those around are told of, each once, and nobody else.
func TestSideDoors(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	s := newSite(t, server, database, "127.0.0.1:0", watchDoors)
	s.verb(t, 0, "schema", "--apply")
	proxies := []*running{s.serve(t, ""), s.serve(t, "")}
	stay, err := s.connect(t.Context(), proxies[0].address(t, listens), "sam")
	if err != nil {
		t.Fatal(err)
	}
	defer stay.Close(t.Context())
	for _, user := range []string{"alice", "bea"} {
		c, err := s.connect(t.Context(), server.Addr(), user)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context())
	}
	around := "side_door severity=warning login=alice"
	told := func(words string) (n int) {
		for _, r := range proxies {
			n += strings.Count(r.output.String(), words)
		}
		return n
	}
	var churn sync.WaitGroup
	for i, r := range proxies {
		addr := r.address(t, listens)
		churn.Go(func() {
			for range 60 {
				c, err := s.connect(t.Context(), addr, []string{"sam", "ana"}[i])
				if err != nil {
					t.Error(err)
					return
				}
				c.Close(t.Context())
			}
		})
	}
	churn.Wait()
	late := time.After(20 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); told(around) == 0; {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("nobody tells of alice:\n%s\n%s", proxies[0].output.String(), proxies[1].output.String())
		}
	}
	if n := told("alert=side_door "); n != 1 {
		t.Errorf("%d connections are told of, want that of alice, once:\n%s\n%s", n, proxies[0].output.String(), proxies[1].output.String())
	}
	var list struct {
		Doors   []struct{ State, Login string }
		Proxies []string
	}
	s.verb(t, 1, "doors", "--check")
	if err := json.Unmarshal([]byte(s.verb(t, 0, "doors", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range list.Doors {
		if d.Login != "postgres" || d.State == "open" { // the test's own, which come and go
			got[d.Login] = d.State
		}
	}
	if got["alice"] != "open" || got["bea"] != "allowed" || got["sam"] != "" || len(list.Proxies) != 2 {
		t.Errorf("listed are %+v", list)
	}
	for _, r := range proxies {
		r.stop(t)
	}
}

// TestSideDoorsBlind has pgveil log in as who may not see others' connections: it
// says so.
func TestSideDoorsBlind(t *testing.T) {
	server := newServer(t, false)
	admin := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), "GRANT CREATE ON DATABASE postgres TO pgveil"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`listen: ["127.0.0.1:0"]
side_doors: {every: 100ms}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port())
	s := serving(t, dir, config)
	s.wait(t, "alert=side_doors_unseen")
	s.wait(t, "connections around pgveil cannot be looked for")
	site := &site{dir: dir}
	site.verb(t, 0, "schema", "--apply")
	if said := site.verb(t, 1, "doors", "--check"); !strings.Contains(said, "GRANT pg_read_all_stats") {
		t.Errorf("doors says\n%s", said)
	}
	if _, err := admin.Exec(t.Context(), "GRANT pg_read_all_stats TO pgveil"); err != nil {
		t.Fatal(err)
	}
	if said := s.wait(t, "alert=side_door "); !strings.Contains(said, "login=postgres addr=unix") {
		t.Errorf("once it sees, it says %s", said)
	}
}

// TestSideDoorsCounts has connections come and go between two looks: nobody sees
// them, and the server's count tells of them.
func TestSideDoorsCounts(t *testing.T) {
	server := newServer(t, false)
	dir := t.TempDir()
	s := serving(t, dir, fmt.Sprintf(`listen: ["127.0.0.1:0"]
side_doors: {every: 2s}
server: {host: %s, port: %d, login: postgres}`, server.SocketDir(), server.Port()))
	(&site{dir: dir}).verb(t, 0, "schema", "--apply")
	addr := s.wait(t, "listening address=")
	late := time.After(time.Minute)
	for tick := time.Tick(200 * time.Millisecond); ; {
		if _, err := login(t, "tcp", addr, "SELECT 'in'", nil); err != nil {
			t.Fatal(err)
		}
		c, err := pgx.Connect(t.Context(), server.HostDSN("postgres", "alice", "alice-password"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case line := <-s.lines:
			if strings.Contains(line, "alert=side_door_unwatched") {
				return
			}
		case <-tick:
		case <-late:
			t.Fatal("nobody tells of connections that came and went")
		}
	}
}
