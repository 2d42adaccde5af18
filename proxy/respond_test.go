package proxy_test

import (
	"context"
	"encoding/base32"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// containPolicy has who may contain others, whom to contain, and a login that many
// share.
const containPolicy = `
version: 1
purposes:
  support: {basis: contract}
classes:
  open: ["public.*.*"]
roles:
  agent:   {purposes: [support], tables: [{on: public.customers, do: [select, insert, update]}]}
  officer: {purposes: [support], privacy: [contain], tables: [{on: public.customers}]}
users:
  alice: {roles: [agent]}
  bob:   {roles: [agent]}
  dora:  {roles: [officer]}
  max:   {roles: [officer]}
  crm_app: {act_as: [agent]}
unclassified: refuse
`

// until waits for what must come soon. How long is for a machine with much else to
// do.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}

// sessionID asks a session who it is.
func sessionID(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^session\|(.*)$`).FindStringSubmatch(text(t.Context(), conn, "PRIVACY SHOW ACCESS"))
	if m == nil {
		t.Fatal("the session does not say who it is")
	}
	return m[1]
}

// gone tells whether a session has ended, and was told why.
func gone(t testing.TB, conn *pgx.Conn, why string) bool {
	t.Helper()
	got := text(t.Context(), conn, "SELECT 1")
	if got == "1\n" || strings.HasPrefix(got, "42501") { // its end is a moment behind
		return false
	}
	if want := regexp.MustCompile(why); !want.MatchString(got) {
		t.Errorf("the session ends with %q, want %s", got, why)
	}
	return true
}

const oneRow = "SELECT id FROM customers WHERE id = 1"

func TestRespond(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, containPolicy)
	event := alert.Event{Name: "something", Severity: alert.Warning, Message: "something was noticed"}
	for _, tt := range []struct {
		name     string
		response policy.Response
		login    string
		says     string // in the session, before
		ends     string // how the session does; "": it goes on
		refused  string // whom a new session of alice's, bob's and crm_app's is for, that is let in no more
	}{
		{"alert alone", policy.Response{}, "alice", "", "", ""},
		{"end", policy.Response{End: true}, "alice", "", "57P01 .* the policy says so", ""},
		{"user", policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetUser, For: time.Minute}}}, "alice", "", "57P01 .* user alice is in quarantine", "alice"},
		{"login", policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetLogin, For: time.Minute}}}, "crm_app", "SET pgveil.end_user = 'bob'", "57P01 .* login crm_app", "crm_app"},
		{"address", policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetAddress, For: time.Minute}}}, "bob", "", "57P01 .* address 127.0.0.1", "alice bob crm_app"},
		{"nobody", policy.Response{Quarantines: []policy.Quarantine{{For: time.Minute}}}, "bob", "", "57P01", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, containPolicy)
			conn := f.connect(t, database, tt.login)
			if tt.says != "" {
				script(t, conn, tt.says, "", oneRow, "1")
			}
			f.Respond(sessionID(t, conn), event, tt.response)
			if tt.ends == "" {
				script(t, conn, oneRow, "1")
			} else {
				until(t, "the session ends", func() bool { return gone(t, conn, tt.ends) })
			}
			for _, login := range []string{"alice", "bob", "crm_app"} {
				other, err := pgx.ConnectConfig(t.Context(), f.config(t, database, login))
				if out := strings.Contains(tt.refused, login); out != (code(err) == "28000") || !out && err != nil {
					t.Errorf("a login of %s: %v", login, err)
				}
				if err == nil {
					_ = other.Close(t.Context())
				}
			}
			if !strings.Contains(f.Log.String(), "alert=something") {
				t.Error("nobody was told")
			}
		})
	}
	f.Respond("", event, policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetUser}}})
	if conn := f.connect(t, database, "alice"); !gone(t, conn, ".") {
		script(t, conn, oneRow, "1")
	}
}

// TestHoldersStayReachable has pgveil notice things that would keep out who may
// contain others: by that, whoever may not could lock them out.
func TestHoldersStayReachable(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, containPolicy)
	f.Respond("", alert.Event{Name: "something", User: "dora", Login: "dora", Addr: "127.0.0.1"}, policy.Response{Quarantines: []policy.Quarantine{
		{Who: policy.TargetUser}, {Who: policy.TargetLogin}, {Who: policy.TargetAddress},
	}, StepUp: true})
	script(t, f.connect(t, database, "dora"), oneRow, "1")
	if _, err := pgx.ConnectConfig(t.Context(), f.config(t, database, "alice")); code(err) != "28000" {
		t.Errorf("who comes from the same address: %v", err)
	}
}

// TestSlow has a user's statements wait, longer each time, and nobody else's.
func TestSlow(t *testing.T) {
	database := pgtest.Database(t, "shop")
	registry := prometheus.NewRegistry()
	slowed := func() float64 { return (&watch{metrics: registry}).counted(t, "pgveil_statements_slowed_total", "") }
	f := start(t, database, containPolicy, func(o *proxy.Options) { o.Metrics = registry })
	alice, app := f.connect(t, database, "alice"), f.connect(t, database, "crm_app")
	event := alert.Event{Name: "something", User: "alice"}
	f.Respond("", event, policy.Response{Slow: true})
	took := func(conn *pgx.Conn, sql ...string) time.Duration {
		for i := 0; i < len(sql)-1; i++ {
			script(t, conn, sql[i], "")
		}
		begun := time.Now()
		script(t, conn, sql[len(sql)-1], "1")
		return time.Since(begun)
	}
	for _, slow := range []time.Duration{
		took(alice, oneRow), took(alice, "BEGIN", oneRow), took(app, "SET pgveil.end_user = 'alice'", oneRow), took(f.connect(t, database, "alice"), oneRow),
	} {
		if slow < 250*time.Millisecond {
			t.Errorf("alice's statement took %s", slow)
		}
	}
	before := slowed()
	took(app, "SET pgveil.end_user = 'bob'", oneRow)
	took(f.connect(t, database, "bob"), oneRow)
	if after := slowed(); before != 4 || after != before {
		t.Errorf("%v statements waited, then %v", before, after)
	}
	other := f.connect(t, database, "alice")
	id := sessionID(t, other)
	ended := make(chan string)
	go func() { ended <- text(context.Background(), other, oneRow) }()
	until(t, "the statement waits", func() bool { return slowed() == 5 })
	f.Respond(id, event, policy.Response{End: true})
	if got := <-ended; !strings.HasPrefix(got, "57P01") {
		t.Errorf("a session that ends while a statement waits: %q", got)
	}
}

// TestStepUp has a user's statements refused until a second factor is given, in
// each session anew, and one that was given before count no more.
func TestStepUp(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	store, with := remembers(t, database, &ahead)
	f := start(t, database, containPolicy, with)
	enrolled, err := store.Enrol(t.Context(), state.Factor{User: "alice", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}, false)
	if err != nil {
		t.Fatal(err)
	}
	give := func() string { // a new code each time
		ahead.Add(int64(30 * time.Second))
		code, err := totp.GenerateCode(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(enrolled.Secret), time.Now().Add(time.Duration(ahead.Load())))
		if err != nil {
			t.Fatal(err)
		}
		return "PRIVACY MFA " + code
	}
	alice, second, app := f.connect(t, database, "alice"), f.connect(t, database, "alice"), f.connect(t, database, "crm_app")
	const refused = "42501 because of what was noticed"
	script(t, alice, give(), "second factor", oneRow, "1", "BEGIN", "", oneRow, "1")
	ahead.Add(int64(time.Second))
	f.Respond("", alert.Event{Name: "something", User: "alice"}, policy.Response{StepUp: true})
	ahead.Add(int64(time.Second))
	script(t, alice, oneRow, refused, "ROLLBACK", "", oneRow, refused, "PRIVACY SHOW ELEVATIONS", refused, "PRIVACY HELP", "PRIVACY", give(), "second factor", oneRow, "1")
	script(t, second, oneRow, refused, give(), "second factor", oneRow, "1")
	script(t, app, "SET pgveil.end_user = 'alice'", "", oneRow, refused, "SET pgveil.end_user = 'bob'", "", oneRow, "1")
	script(t, f.connect(t, database, "alice"), oneRow, refused)
}
