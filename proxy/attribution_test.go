package proxy_test

import (
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/token"
)

// askers gives what the log says of statements: the command or why it was
// refused, the user, the ticket.
func (f *front) askers(t *testing.T) (all []string) {
	t.Helper()
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.KindStatement {
			all = append(all, words(r.Command, r.SQLState, r.User, r.Ticket))
		}
	}
	return all
}

// TestRecordsNameNobodyWhoIsGone has a pool's next request come after one whose
// user was said for a transaction: what it begins with is not that user's.
func TestRecordsNameNobodyWhoIsGone(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for _, tt := range []struct {
		name string
		sql  []string
		want []string // of the last of them
	}{
		{"a transaction", []string{"BEGIN", "SET LOCAL pgveil.end_user = 'anna'", askRegions, "COMMIT", "BEGIN", "COMMIT"},
			[]string{"SELECT anna", "COMMIT anna", "BEGIN crm_app", "COMMIT crm_app"}},
		{"one that is rolled back", []string{"BEGIN", asAnna, askRegions, "ROLLBACK", "SHOW pgveil.end_user"},
			[]string{"SELECT anna", "ROLLBACK anna", "SHOW crm_app"}},
		{"a savepoint", []string{"BEGIN", "SAVEPOINT a", asAnna, askRegions, "ROLLBACK TO a", "SAVEPOINT b"},
			[]string{"SELECT anna", "ROLLBACK anna", "SAVEPOINT crm_app"}},
		{"what is refused", []string{"BEGIN", "SET LOCAL pgveil.end_user = 'anna'", askRegions, "COMMIT", "SET session_replication_role = 'replica'"},
			[]string{"COMMIT anna", "SET 42501 crm_app"}},
		{"a reset", []string{asAnna, askRegions, "RESET ALL", "BEGIN"}, []string{"SELECT anna", "RESET anna", "BEGIN crm_app"}},
		{"the next user", []string{asAnna, askRegions, asBert, "BEGIN", askRegions, "COMMIT"},
			[]string{"SELECT anna", "SET anna", "BEGIN crm_app", "SELECT bert", "COMMIT bert"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, crmPolicy)
			conn := f.connect(t, database, "crm_app")
			for _, sql := range tt.sql {
				text(t.Context(), conn, sql)
			}
			got := f.askers(t)
			if diff := cmp.Diff(tt.want, got[max(0, len(got)-len(tt.want)):]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestPortalThatAnotherGoesOnWith has two users for whom all is decided alike
// share a portal: the log names both.
func TestPortalThatAnotherGoesOnWith(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	conn := f.connect(t, database, "crm_app")
	p := conn.PgConn().Frontend()
	execute := &pgproto3.Execute{Portal: "p", MaxRows: 1}
	for _, batch := range [][]pgproto3.FrontendMessage{
		{&pgproto3.Query{String: "BEGIN"}},
		{&pgproto3.Query{String: asBert}},
		{&pgproto3.Parse{Query: "SELECT id FROM customers"}, &pgproto3.Bind{DestinationPortal: "p"}, execute, execute, &pgproto3.Sync{}},
		{&pgproto3.Query{String: "SET pgveil.end_user = 'bea'"}},
		{execute, execute, &pgproto3.Sync{}},
		{&pgproto3.Query{String: "SET pgveil.ticket = 'T-1'"}},
		{execute, &pgproto3.Sync{}},
	} {
		for _, m := range batch {
			p.Send(m)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := p.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := m.(*pgproto3.ErrorResponse); ok {
				t.Errorf("%T: %s", batch[0], e.Message)
			}
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				break
			}
		}
	}
	got := slices.DeleteFunc(f.askers(t), func(w string) bool { return !strings.HasPrefix(w, "SELECT") })
	if diff := cmp.Diff([]string{"SELECT bert", "SELECT bea", "SELECT bea T-1"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestCommentOfUnrestrictedLogin has a login without restrictions work for users
// whom it names in comments: they get what is theirs, also by names that the
// login gave, and only for as long as there are such users.
func TestCommentOfUnrestrictedLogin(t *testing.T) {
	database := pgtest.Database(t, "shop")
	both := strings.Replace(crmPolicy, "dora:    {roles: [dba]}", "dora: {roles: [dba], act_as: [agent]}", 1)
	f := start(t, database, both)
	conn := f.connect(t, database, "dora")
	const anna = " /*pgveil.end_user='anna'*/"
	script(t, conn, askRegions, "APAC,EU,US\n", askRegions+anna, "EU\n",
		"PREPARE p AS "+askRegions, "$", "EXECUTE p", "APAC,EU,US\n", "EXECUTE p"+anna, "26000",
		"BEGIN", "$", "DECLARE c CURSOR FOR SELECT id FROM customers", "$", "FETCH c", "1\n", "FETCH c"+anna, "34000", "ROLLBACK", "$")
	if _, err := conn.Prepare(t.Context(), "regions", "/*pgveil.end_user='bert'*/ "+askRegions); err != nil {
		t.Fatal(err)
	}
	const bert = "bert:    {roles: [agent], region: US}"
	for _, tt := range []struct{ bert, want string }{{bert, "US"}, {"bert: {roles: [agent], region: EU}", "EU"}, {"", "42501"}} {
		f.reload(t, strings.Replace(both, bert, tt.bert, 1))
		var got string
		if err := conn.QueryRow(t.Context(), "regions").Scan(&got); err != nil {
			got = said(err)[:5]
		}
		if got != tt.want {
			t.Errorf("as %q: %q, want %q", tt.bert, got, tt.want)
		}
	}
}

// TestRemovedUserOfAComment takes a user out of the policy while the server works
// at a statement whose comment names the user.
func TestRemovedUserOfAComment(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	conn, other := f.connect(t, database, "crm_app"), f.connect(t, database, "crm_app")
	answer := make(chan string, 1)
	go func() {
		answer <- text(t.Context(), conn, "/*pgveil.end_user='bert'*/ SELECT count(*) FROM customers, pg_sleep(60)")
	}()
	for asleep := false; !asleep; {
		if err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep')", database).Scan(&asleep); err != nil {
			t.Fatal(err)
		}
	}
	f.reload(t, strings.Replace(crmPolicy, "bert:    {roles: [agent], region: US}", "", 1))
	if n := f.Expel(); n != 1 {
		t.Errorf("%d sessions are out", n)
	}
	if got := <-answer; !strings.HasPrefix(got, "57P01") {
		t.Errorf("the statement: %q", got)
	}
	if got := text(t.Context(), other, askRegions+" /*pgveil.end_user='anna'*/"); got != "EU\n" {
		t.Errorf("another session of the login: %q", got)
	}
}

// TestRemovedUserChangesNothing takes a user out of the policy amid a change: it
// is not done behind the session's end.
func TestRemovedUserChangesNothing(t *testing.T) {
	database := pgtest.Database(t, "shop")
	named := strings.Replace(crmPolicy, "open: [", "open: [public.customers.last_name, ", 1)
	f := start(t, database, named)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	conn := f.connect(t, database, "alice")
	answer := make(chan string, 1)
	go func() {
		answer <- text(t.Context(), conn, "UPDATE customers SET last_name = 'late' WHERE id = 1 AND pg_sleep(5) IS NOT NULL")
	}()
	sleeps := func() (asleep bool) {
		if err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep')", database).Scan(&asleep); err != nil {
			t.Fatal(err)
		}
		return asleep
	}
	for !sleeps() {
		if len(answer) > 0 {
			t.Fatal(<-answer)
		}
	}
	f.reload(t, strings.Replace(named, "alice:   {roles: [agent], region: EU}", "", 1))
	if n := f.Expel(); n != 1 {
		t.Errorf("%d sessions are out", n)
	}
	if got := <-answer; !strings.HasPrefix(got, "57P01") {
		t.Errorf("the statement: %q", got)
	}
	for sleeps() {
	}
	if got := text(t.Context(), admin, "SELECT count(*) FROM customers WHERE last_name = 'late'"); got != "0\n" {
		t.Errorf("rows changed by whoever is removed: %q", got)
	}
}

// TestFactorIsOfWhoIsCertain gives a second factor as a user whom a token names:
// it does not count for whoever says to be that user.
func TestFactorIsOfWhoIsCertain(t *testing.T) {
	f := startTwofold(t, signed(t))
	conn := f.connect(t, f.database, "crm_app")
	right, now := f.next(), f.time()
	signedAlice := sign(t, "1", "alice", map[string]any{"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	script(t, conn, "SET pgveil.token = '"+signedAlice+"'", "$", "PRIVACY MFA "+right, "second factor.accepted")
	if !shows(t, conn) {
		t.Error("the second factor does not count")
	}
	script(t, conn, "RESET pgveil.token", "$", "SET pgveil.end_user = 'alice'", "$")
	if shows(t, conn) {
		t.Error("it counts for whoever says to be alice")
	}
	script(t, conn, "RESET pgveil.end_user", "$", "SET pgveil.token = '"+signedAlice+"'", "$")
	if !shows(t, conn) {
		t.Error("it is lost")
	}
}

// TestTransactionTokenOfTwoTexts gives a token for one transaction another
// signature, which is good as well: it stays the same token.
func TestTransactionTokenOfTwoTexts(t *testing.T) {
	p := newProvider(t)
	v, err := token.New(token.Issuer{
		Name: "https://id.example", Use: token.Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: p.keys(t), MaxAge: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy, func(o *proxy.Options) { o.Tokens = v })
	one := p.sign(t, "anna", map[string]any{"jti": "1", "transaction": true})
	end := strings.LastIndexByte(one, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(one[end:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(p.key.Params().N, s).FillBytes(signature[32:])
	other := one[:end] + base64.RawURLEncoding.EncodeToString(signature)
	if _, err := v.Verify(other, time.Now()); err != nil || other == one {
		t.Fatalf("the other text is no token: %v", err)
	}
	conn := f.connect(t, database, "crm_app")
	for i, text := range []string{one, one, other} {
		want := "28000"
		if i == 0 {
			want = "EU\n"
		}
		script(t, conn, "BEGIN", "$", "SET LOCAL pgveil.token = '"+text+"'", "$", askRegions, want, "ROLLBACK", "$")
	}
}

// TestOwnCommandBehindAnError asks for an elevation behind what fails, in one go:
// it is passed over with the rest, as the log says.
func TestOwnCommandBehindAnError(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	_, with := remembers(t, database, &ahead)
	f := start(t, database, stepsPolicy, with)
	conn := f.connect(t, database, "alice")
	const elevate = "PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'ticket 4711'"
	for _, tt := range []struct{ before, want string }{{"SELECT 1/0", "$"}, {"SELECT 1", "1[|]alice[|]billing"}} {
		p := conn.PgConn().StartPipeline(t.Context())
		for _, sql := range []string{tt.before, elevate} {
			p.SendQueryParams(sql, nil, nil, nil, nil)
		}
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil && said(err) != "22012 division by zero" {
			t.Errorf("behind %s: %v", tt.before, err)
		}
		script(t, conn, "PRIVACY SHOW ELEVATIONS", tt.want)
	}
	script(t, conn, "BEGIN", "$", "SELECT 1/0", "22012", elevate, "25P02", "ROLLBACK", "$", "PRIVACY SHOW ELEVATIONS", "1[|][^\n]*\n$")
}
