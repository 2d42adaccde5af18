package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestAnchorsElsewhere copies checkpoints to a collector of syslog messages and
// to another database; verify takes them from there.
func TestAnchorsElsewhere(t *testing.T) {
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	lines := make(chan string, 100)
	go func() {
		conn, err := collector.Accept()
		if err != nil {
			return
		}
		for r := bufio.NewReader(conn); ; {
			length, err := r.ReadString(' ')
			if err != nil {
				return
			}
			n, err := strconv.Atoi(strings.TrimSpace(length))
			message := make([]byte, n)
			if err == nil {
				_, err = io.ReadFull(r, message)
			}
			if err != nil {
				t.Error(err)
				return
			}
			lines <- string(message)
		}
	}()
	server := pgtest.Server(t)
	database := pgtest.Database(t, "")
	super := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	if _, err := super.Exec(t.Context(), anchorTable+`; CREATE ROLE notary LOGIN PASSWORD 'sesame'; GRANT INSERT ON pgveil_checkpoints TO notary`); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	syslog := &config.Syslog{To: "tcp://" + collector.Addr().String(), Facility: 13, App: "pgveil", MaxSize: 8192}
	dsn := fmt.Sprintf("host=%s port=%d dbname=%s user=notary sslmode=disable", server.SocketDir(), server.Port(), database)
	all, err := newAnchors([]config.Anchor{{Syslog: syslog}, {Postgres: &config.AnchorPostgres{DSN: dsn, Password: password}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	log, dir, pub := signedLog(t, func(c audit.Checkpoint, _ uint64) {
		count++
		all.add(c)
		all.add(c) // as after a restart
	})
	appendLogins(t, log, 1000)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	all.close()
	for _, a := range all.list {
		if lag := a.lag(); lag != 0 {
			t.Errorf("%s is %v records behind", a.name, lag)
		}
	}
	file := filepath.Join(t.TempDir(), "messages")
	var text strings.Builder
	for range 2 * count {
		fmt.Fprintf(&text, "Nov 22 09:30:00 veil %s\n", <-lines)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	table := server.DSN(database, pgserver.Superuser)
	if !strings.HasPrefix(table, "postgres") {
		table = "postgres:///" + database + "?" + strings.NewReplacer(" ", "&").Replace(table)
	}
	for _, from := range []string{file, table} {
		kept, err := readCheckpoints(from)
		if err != nil || len(kept) < count || len(kept) > 2*count {
			t.Fatalf("%s has %d checkpoints of %d, %v", from, len(kept), count, err)
		}
		auditRun(t, 0, "verify", "--dir", dir, "--key", pub, "--checkpoint", from)
	}
	if err := os.RemoveAll(dir); err != nil { // who has the files and not the other database begins anew
		t.Fatal(err)
	}
	again, err := audit.Open(dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	appendLogins(t, again, 1000)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{file, table} {
		auditRun(t, 1, "verify", "--dir", dir, "--key", pub, "--checkpoint", from)
	}
	notary, err := pgx.Connect(t.Context(), dsn+" password=sesame")
	if err != nil {
		t.Fatal(err)
	}
	defer notary.Close(t.Context())
	for _, sql := range []string{"DELETE FROM pgveil_checkpoints", "UPDATE pgveil_checkpoints SET note = ''", "TRUNCATE pgveil_checkpoints", "SELECT * FROM pgveil_checkpoints"} {
		if _, err := notary.Exec(t.Context(), sql); err == nil {
			t.Errorf("the role of the anchor may %s", sql)
		}
	}
}

// TestAnchorMakesTable makes the table where it may, and says what to make where
// it is missing.
func TestAnchorMakesTable(t *testing.T) {
	server := pgtest.Server(t)
	c := config.AnchorPostgres{DSN: server.DSN(pgtest.Database(t, ""), pgserver.Superuser)}
	send := func() error {
		p, err := postgresAnchor(&c)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		return p.send(t.Context(), audit.Checkpoint{Origin: "o", Size: 1, Note: []byte("note")})
	}
	if err := send(); err == nil || !strings.Contains(err.Error(), "CREATE TABLE IF NOT EXISTS pgveil_checkpoints") {
		t.Errorf("without the table: %v", err)
	}
	c.Create = true
	for range 2 {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
}
