package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const (
	paulsToken = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
	olgasToken = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
)

// clubRights has officers of the fixture's club serve every right, and a clerk
// who may only export.
var clubRights = strings.NewReplacer(
	"privacy: [consent, restrict]", "privacy: [consent, restrict, export, erase, rectify, hold]\n  reader: {purposes: [privacy], privacy: [export]}",
	"petra: {roles: [officer]}", "petra: {roles: [officer]}\n  paul: {roles: [officer]}\n  olga: {roles: [officer]}\n  rita: {roles: [reader]}",
	"\nroles:", "\nrequests:\n  erasure: {identity: account, approvals: 1}\n\nroles:",
)

// office is a site whose officers serve data subjects at the machine.
type office struct {
	*site
	conn *pgx.Conn
}

func newOffice(t *testing.T, more string) *office {
	t.Helper()
	server, database := pgtest.Server(t), pgtest.Database(t, "ledger")
	s := newSite(t, server, database, "127.0.0.1:0", "api: {listen: 127.0.0.1:0, tokens_file: tokens}\n"+more)
	policy, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "ledger"), "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(s.dir, "pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := ""
	for user, token := range map[string]string{"petra": petrasToken, "paul": paulsToken, "olga": olgasToken} {
		digest := sha256.Sum256([]byte(token))
		tokens += user + " " + hex.EncodeToString(digest[:]) + "\n"
	}
	for name, text := range map[string]string{
		"policy.yaml": clubRights.Replace(string(policy)), "tokens": tokens, "petra": petrasToken + "\n", "paul": paulsToken + "\n", "olga": olgasToken + "\n",
		"pgveil.yaml": strings.Replace(string(config), filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml", 1),
	} {
		s.put(t, name, text)
	}
	o := &office{site: s, conn: pgtest.Connect(t, server.DSN(database, pgserver.Superuser))}
	o.pgveil(t, 0, "schema", "--apply")
	return o
}

// dsar gives a command, and what it says.
func (o *office) dsar(t *testing.T, status int, args ...string) string {
	t.Helper()
	return o.pgveil(t, status, append([]string{"dsar"}, args...)...)
}

// says gives a command and looks for what it must say.
func (o *office) says(t *testing.T, status int, want string, args ...string) string {
	t.Helper()
	got := o.dsar(t, status, args...)
	if !strings.Contains(got, want) {
		t.Errorf("pgveil dsar %s says\n%s\nwant %q", strings.Join(args, " "), got, want)
	}
	return got
}

// one asks the database for one text.
func (o *office) one(t *testing.T, sql string, args ...any) (text string) {
	t.Helper()
	if err := o.conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// until waits until the database says so.
func (o *office) until(t *testing.T, sql, want string) {
	t.Helper()
	late := time.After(20 * time.Second)
	got := ""
	for tick := time.Tick(5 * time.Millisecond); ; {
		if got = o.one(t, sql); got == want {
			return
		}
		select {
		case <-tick:
		case <-late:
			t.Fatalf("%s is %q, and does not become %q", sql, got, want)
		}
	}
}

// digests gives the digests that the access log has, in both of its chains.
func (o *office) digests(t *testing.T) map[string]audit.Record {
	t.Helper()
	all := map[string]audit.Record{}
	for _, dir := range []string{o.log(), filepath.Join(o.log(), besideDir)} {
		if !isDir(dir) {
			continue
		}
		for r, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{"example.org", "letter of", "reference T"} {
				if strings.Contains(r.Shape+r.Message, value) {
					t.Errorf("the access log holds a value: %+v", r)
				}
			}
			if r.Event != "" {
				all[r.Event] = r
			}
		}
	}
	return all
}

// recorded looks whether the access log has every event of every request.
func (o *office) recorded(t *testing.T) {
	t.Helper()
	rows, err := o.conn.Query(t.Context(), "SELECT encode(digest, 'hex') FROM pgveil.request_events")
	if err != nil {
		t.Fatal(err)
	}
	digests, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	logged := o.digests(t)
	for _, d := range digests {
		if _, ok := logged[d]; !ok {
			t.Errorf("the access log does not have the event with digest %s", d)
		}
	}
	if len(digests) == 0 {
		t.Error("there is no event")
	}
}
