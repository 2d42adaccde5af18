package proxy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/token"
)

// crmPolicy has one login that acts for others. Which region's customers show
// tells who asks.
const crmPolicy = `
version: 1
purposes:
  support: {basis: contract}
  sales:   {basis: contract}
attributes: [region]
classes:
  open: [public.customers.id, public.customers.region]
  rest: ["public.*.*"]
roles:
  agent:  {purposes: [support], tables: [{on: public.customers, do: [select, update], rows: "region = :region"}]}
  seller: {purposes: [sales, support], tables: [{on: public.customers}]}
  dba:    {unrestricted: true}
users:
  anna:    {roles: [agent], region: EU}
  bert:    {roles: [agent], region: US}
  bea:     {roles: [agent], region: US}
  cleo:    {roles: [seller]}
  dora:    {roles: [dba]}
  alice:   {roles: [agent], region: EU}
  crm_app: {act_as: [agent]}
unclassified: refuse
`

const (
	askRegions = "SELECT string_agg(DISTINCT region, ',') FROM customers"
	asAnna     = "SET pgveil.end_user = 'anna'"
	asBert     = "SET pgveil.end_user = 'bert'"
)

// TestEndUserIsFollowed says who the end user is in every way that a session
// can, takes it back in every way, and tries to be somebody else.
func TestEndUserIsFollowed(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	f.hold(t, database, "crm_app", []dialogue{
		{"nobody", []string{askRegions}, "42501"},
		{"SET", []string{asAnna, askRegions}, "EU\n"},
		{"SET to another", []string{asAnna, askRegions, asBert, askRegions}, "US\n"},
		{"the next request of a pool", []string{asAnna, askRegions, "DISCARD ALL", askRegions}, "42501"},
		{"RESET ALL", []string{asAnna, askRegions, "RESET ALL", askRegions}, "42501"},
		{"RESET", []string{asAnna, askRegions, "RESET pgveil.end_user", askRegions}, "42501"},
		{"SET LOCAL", []string{"BEGIN", "SET LOCAL pgveil.end_user = 'anna'", askRegions}, "EU\n"},
		{"SET LOCAL, committed", []string{"BEGIN", "SET LOCAL pgveil.end_user = 'anna'", askRegions, "COMMIT", askRegions}, "42501"},
		{"SET, rolled back", []string{"BEGIN", asAnna, askRegions, "ROLLBACK", askRegions}, "42501"},
		{"SET, failed", []string{"BEGIN", asAnna, "SELECT 1/0", "COMMIT", askRegions}, "42501"},
		{"a savepoint rolled back to", []string{"BEGIN", asAnna, "SAVEPOINT a", asBert, askRegions, "ROLLBACK TO a", askRegions}, "EU\n"},
		{"set_config", []string{"SELECT set_config('pgveil.end_user', 'bert', false)", askRegions}, "US\n"},
		{"a user whom there is not", []string{"SET pgveil.end_user = 'zoe'"}, "42501"},
		{"a user whom there is not, in a way that cannot be looked at", []string{"SELECT set_config('pgveil.end_user', 'zoe', false)", askRegions}, "42501"},
		{"and after it, back", []string{"SELECT set_config('pgveil.end_user', 'zoe', false)", askRegions, asAnna, askRegions}, "EU\n"},
		{"a user of another role", []string{"SET pgveil.end_user = 'cleo'"}, "42501"},
		{"an administrator", []string{"SET pgveil.end_user = 'dora'"}, "42501"},
		{"a name that looks alike", []string{"SET pgveil.end_user = '\u0430nna'"}, "42501"}, // a Cyrillic a
		{"a name in capitals", []string{"SET pgveil.end_user = 'ANNA'"}, "42501"},
		{"a purpose that is the user's", []string{asAnna, "SET pgveil.purpose = 'support'", askRegions}, "EU\n"},
		{"a purpose that is another role's", []string{asAnna, "SET pgveil.purpose = 'sales'", askRegions}, "42501"},
		{"a purpose before the user", []string{"SELECT 1", asAnna, "SET pgveil.purpose = 'support'", asBert, askRegions}, "US\n"},
		{"a comment", []string{"/*pgveil.end_user='anna'*/ " + askRegions}, "EU\n"},
		{"a comment of sqlcommenter's", []string{askRegions + " /*action='x',pgveil_end_user='%61nna',pgveil_purpose='support'*/"}, "EU\n"},
		{"a comment holds for its text only", []string{"/*pgveil.end_user='anna'*/ " + askRegions, askRegions}, "42501"},
		{"a comment that names another than the session", []string{asAnna, "/*pgveil.end_user='bert'*/ " + askRegions}, "42501"},
		{"comments that differ", []string{"/*pgveil.end_user='anna'*/ " + askRegions + " /*pgveil.end_user='bert'*/"}, "42501"},
		{"one comment that differs", []string{"/*pgveil.end_user='anna',pgveil.end_user='bert'*/ " + askRegions}, "42501"},
		{"a comment within a string", []string{asAnna, "SELECT string_agg(DISTINCT region, ',') FROM customers WHERE '/*pgveil.end_user=''bert''*/' <> ''"}, "EU\n"},
		{"a comment with more than it may say", []string{"/*pgveil.end_user='anna',pgveil.role='dba'*/ " + askRegions}, "42501"},
		{"a comment in capitals", []string{"/* PGVEIL.End_User='anna' */ " + askRegions}, "EU\n"},
		{"a comment without quotes", []string{asAnna, "/* pgveil.end_user=bert */ " + askRegions}, "42501"},
		{"a comment in double quotes", []string{asAnna, `/* pgveil.purpose="support" */ ` + askRegions}, "42501"},
		{"a comment that only speaks of it", []string{asAnna, "/* see pgveil.end_user */ " + askRegions}, "EU\n"},
		{"a comment that cannot be read", []string{"/*pgveil.end_user='%zz'*/ " + askRegions}, "42501"},
		{"a token that is none", []string{"SET pgveil.token = 'x'"}, "28000"},
		{"a token that is none, in a comment", []string{"/*pgveil.token='x'*/ " + askRegions}, "28000"},
		{"two users in one text", []string{asAnna + "; " + askRegions}, "0A000"},
		{"what was prepared for nobody, by somebody", []string{"PREPARE p AS SELECT 1", "EXECUTE p /*pgveil.end_user='anna'*/"}, "42501"},
		{"what was prepared for another", []string{asAnna, "PREPARE p AS " + askRegions, asBert, "EXECUTE p"}, "42501"},
		{"a cursor of another", []string{asAnna, "BEGIN", "DECLARE c CURSOR FOR " + askRegions, asBert, "FETCH c"}, "42501"},
		{"a row of another's, changed", []string{asAnna, "UPDATE customers SET region = region WHERE region = 'US' RETURNING id"}, ""},
		{"who asks may be read", []string{asAnna, "SHOW pgveil.end_user"}, "anna\n"},
	})
}

// TestEndUserOfOthers has logins that act for nobody try to.
func TestEndUserOfOthers(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	if got := text(t.Context(), f.connect(t, database, "alice"), asBert); !strings.HasPrefix(got, "42501") {
		t.Errorf("alice becomes bert: %q", got)
	}
	for user, want := range map[string]string{"anna": "EU\n", "bert": "US\n", "dora": "28000", "zoe": "28000"} {
		config := f.config(t, database, "crm_app")
		config.RuntimeParams["pgveil.end_user"] = user
		conn, err := pgx.ConnectConfig(t.Context(), config)
		got := ""
		if err != nil {
			got = said(err)
		} else {
			got = text(t.Context(), conn, askRegions)
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got != want && !(len(want) == 5 && strings.HasPrefix(got, want)) {
			t.Errorf("at startup as %s: %q, want %q", user, got, want)
		}
	}
}

// TestSaysElsewhere says who asks in a database without a policy, whose texts
// nobody reads.
func TestSaysElsewhere(t *testing.T) {
	f := start(t, pgtest.Database(t, "shop"), crmPolicy)
	script(t, f.connect(t, "postgres", "dora"), "SET pgveil.purpose = 'support'", "", "SET pgveil.purpose = 'sales'", "", "SELECT 1", "1\n")
}

// TestPreparedForOthers changes the end user between Parse, Bind and Execute.
func TestPreparedForOthers(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	conn := f.connect(t, database, "crm_app")
	ctx := t.Context()
	text(ctx, conn, asAnna)
	if _, err := conn.Prepare(ctx, "regions", askRegions); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ become, want string }{
		{asAnna, "EU"}, {asBert, "US"}, {asAnna, "EU"}, {"RESET pgveil.end_user", "42501"}, {"SET pgveil.end_user = 'bea'", "US"},
	} {
		text(ctx, conn, tt.become)
		var got string
		if err := conn.QueryRow(ctx, "regions").Scan(&got); err != nil {
			got = said(err)[:5]
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.become, got, tt.want)
		}
	}
	text(ctx, conn, "RESET pgveil.end_user")
	p := conn.PgConn().StartPipeline(ctx)
	for _, sql := range []string{asAnna, askRegions, asBert, askRegions, "RESET pgveil.end_user", askRegions} {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 6 {
		got = append(got, pipelined(p))
	}
	if want := []string{"", "EU", "", "US", "", "42501"}; !slices.Equal(got, want) {
		t.Errorf("in a pipeline: %q, want %q", got, want)
	}
	if err := p.Close(); err != nil && !strings.Contains(err.Error(), "42501") {
		t.Error(err)
	}
}

// pipelined gives the value or the SQLSTATE that is the next answer.
func pipelined(p *pgconn.Pipeline) string {
	answer, err := p.GetResults()
	if err != nil {
		return said(err)[:5]
	}
	reader, ok := answer.(*pgconn.ResultReader)
	if !ok {
		return fmt.Sprintf("%T", answer)
	}
	result := reader.Read()
	switch {
	case result.Err != nil:
		return said(result.Err)[:5]
	case len(result.Rows) == 1:
		return string(result.Rows[0][0])
	default:
		return ""
	}
}

// TestRecordsNameTheEndUser has two users for whom all is decided alike send the
// same text, so that they share its plan.
func TestRecordsNameTheEndUser(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	conn := f.connect(t, database, "crm_app")
	var want []string
	for _, user := range []string{"bert", "bea", "bert", "bea"} {

		text(t.Context(), conn, "SET pgveil.end_user = '"+user+"'")
		text(t.Context(), conn, "SET pgveil.ticket = 'T-"+user+"'")
		text(t.Context(), conn, askRegions)
		want = append(want, user+" T-"+user)
	}
	text(t.Context(), conn, "RESET ALL")
	text(t.Context(), conn, askRegions+" /*pgveil.end_user='bert',pgveil.ticket='9'*/")
	want = append(want, "bert 9")
	var got []string
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.KindStatement && r.Command == "SELECT" {
			got = append(got, r.User+" "+r.Ticket)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// crmKey signs for the CRM.
var crmKey = []byte("a key of thirty-two bytes or more")

// signed lets the CRM sign who its end users are.
func signed(t testing.TB) func(*proxy.Options) {
	t.Helper()
	set, err := token.ParseKey(crmKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := &token.Keys{}
	keys.Put(set, time.Time{})
	v, err := token.New(token.Issuer{Name: "crm", Use: token.Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return func(o *proxy.Options) { o.Tokens = v }
}

// sign makes a token of the CRM's, with claims beside those it needs.
func sign(t testing.TB, id, user string, more map[string]any) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": "crm", "aud": "pgveil", "sub": user, "jti": id, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: crmKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSignedEndUser shows tokens as an application does, and as an attacker.
func TestSignedEndUser(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, strings.Replace(crmPolicy, "{act_as: [agent]}", "{act_as: {roles: [agent], signed: true}}", 1), signed(t))
	n := 0
	fresh := func(user string, more map[string]any) string {
		n++
		return sign(t, fmt.Sprint(n), user, more)
	}
	set := func(token string) string { return "SET pgveil.token = '" + token + "'" }
	anna := fresh("anna", nil)
	elsewhere := fresh("anna", nil)
	text(t.Context(), f.connect(t, database, "crm_app"), set(elsewhere))
	once := func() string { return set(fresh("anna", map[string]any{"transaction": true})) }
	local := func() string { return strings.Replace(once(), "SET ", "SET LOCAL ", 1) }
	f.hold(t, database, "crm_app", []dialogue{
		{"unsigned", []string{asAnna}, "42501"},
		{"unsigned, in a comment", []string{"/*pgveil.end_user='anna'*/ " + askRegions}, "42501"},
		{"a token", []string{set(fresh("anna", nil)), askRegions}, "EU\n"},
		{"a token in a comment", []string{"/*pgveil.token='" + fresh("bert", nil) + "'*/ " + askRegions}, "US\n"},
		{"the next user's", []string{set(fresh("anna", nil)), askRegions, set(fresh("bert", nil)), askRegions}, "US\n"},
		{"of a user whom the policy does not know", []string{set(fresh("zoe", map[string]any{"roles": []string{"agent"}, "attributes": map[string]string{"region": "US"}})), askRegions}, "US\n"},
		{"of such a user, who says no role", []string{set(fresh("zoe", nil))}, "42501"},
		{"of such a user, with a role that the login may not act as", []string{set(fresh("zoe", map[string]any{"roles": []string{"dba", "seller"}}))}, "42501"},
		{"of an administrator", []string{set(fresh("dora", nil))}, "42501"},
		{"the policy's attributes count first", []string{set(fresh("anna", map[string]any{"attributes": map[string]string{"region": "US"}})), askRegions}, "EU\n"},
		{"a token, and an attempt at another user", []string{set(fresh("anna", nil)), asBert, askRegions}, "42501"},
		{"after an attempt, a good one", []string{set(fresh("anna", nil)), asBert, set(fresh("bert", nil)), askRegions}, "US\n"},
		{"after an attempt, RESET", []string{set(fresh("anna", nil)), set("x.y.z"), "RESET pgveil.end_user", askRegions}, "EU\n"},
		{"after an attempt, one that fails", []string{set(fresh("anna", nil)), "BEGIN", set("x.y.z"), set(fresh("bert", nil)), "ROLLBACK", askRegions}, "42501"},
		{"after an attempt, the next request of a pool", []string{set(fresh("anna", nil)), set("x.y.z"), "DISCARD ALL", set(fresh("bert", nil)), askRegions}, "US\n"},
		{"a token and another user in a comment", []string{set(fresh("anna", nil)), "/*pgveil.end_user='bert'*/ " + askRegions}, "42501"},
		{"a token and another token in a comment", []string{set(anna), "/*pgveil.token='" + fresh("bert", nil) + "'*/ " + askRegions}, "42501"},
		{"a purpose that the token does not name", []string{set(fresh("anna", map[string]any{"purpose": "support"})), "SET pgveil.purpose = 'sales'", askRegions}, "42501"},
		{"a token that another session used", []string{set(elsewhere)}, "28000"},
		{"a token that is bound to another session", []string{set(fresh("anna", map[string]any{"sid": "another"}))}, "28000"},
		{"a token of long ago", []string{set(fresh("anna", map[string]any{"iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(-time.Hour + time.Minute).Unix()}))}, "28000"},
		{"a token that is cut short", []string{set(anna[:len(anna)-2])}, "28000"},
		{"a token for one transaction, in it", []string{"BEGIN", local(), askRegions, askRegions}, "EU\n"},
		{"and after it", []string{"BEGIN", local(), askRegions, "COMMIT", askRegions}, "42501"},
		{"a token for one transaction, kept", []string{"BEGIN", once(), askRegions, "COMMIT", askRegions}, "28000"},
		{"a token for one transaction, behind another that was rolled back", []string{"BEGIN", once(), askRegions, "COMMIT", "BEGIN", set(fresh("bert", nil)), "ROLLBACK", askRegions}, "28000"},
		{"a token for one transaction, in a comment", []string{"/*pgveil.token='" + fresh("anna", map[string]any{"transaction": true}) + "'*/ " + askRegions}, "28000"},
		{"a token for one transaction, without one", []string{once(), askRegions, askRegions}, "28000"},
		{"a token in a setting of a function's", []string{"SELECT set_config('pgveil.token', 'x.y.z', false)", askRegions}, "28000"},
		{"the token cannot be read", []string{set(fresh("anna", nil)), "SHOW pgveil.token"}, "42501"},
	})
}

// TestTokenForOneSession binds a token to a session before it is used.
func TestTokenForOneSession(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy, signed(t))
	one, other := f.connect(t, database, "crm_app"), f.connect(t, database, "crm_app")
	session := one.PgConn().ParameterStatus("pgveil.session")
	if session == "" || session == other.PgConn().ParameterStatus("pgveil.session") {
		t.Fatalf("the session is %q", session)
	}
	if alice := f.connect(t, database, "alice").PgConn().ParameterStatus("pgveil.session"); alice != "" {
		t.Errorf("who acts for nobody is told of session %q", alice)
	}
	bound := "SET pgveil.token = '" + sign(t, "1", "anna", map[string]any{"sid": session}) + "'"
	script(t, other, bound, "28000", askRegions, "42501")
	script(t, one, bound, "", askRegions, "EU\n")
}

// TestTokenExpiresInSession has a token end while its session is open.
func TestTokenExpiresInSession(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	f := start(t, database, crmPolicy, signed(t), func(o *proxy.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	conn := f.connect(t, database, "crm_app")
	text(t.Context(), conn, "SET pgveil.token = '"+sign(t, "1", "anna", nil)+"'")
	if got := text(t.Context(), conn, askRegions); got != "EU\n" {
		t.Fatalf("at first %q", got)
	}
	ahead.Store(int64(2 * time.Minute))
	if got := text(t.Context(), conn, askRegions); !strings.HasPrefix(got, "28000") {
		t.Errorf("later %q", got)
	}
}

// TestRemovedUsersAreOut takes users and roles out of the policy while they are
// connected.
func TestRemovedUsersAreOut(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, crmPolicy)
	for _, tt := range []struct {
		name, login, user, without string
		out                        bool
	}{
		{"the login", "alice", "", "alice:   {roles: [agent], region: EU}", true},
		{"the end user", "crm_app", "bert", "bert:    {roles: [agent], region: US}", true},
		{"a role", "crm_app", "anna", "anna:    {roles: [agent], region: EU}", true},
		{"another", "alice", "", "bea:     {roles: [agent], region: US}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.reload(t, crmPolicy)
			conn := f.connect(t, database, tt.login)
			if tt.user != "" {
				text(t.Context(), conn, "SET pgveil.end_user = '"+tt.user+"'")
			}
			if got := text(t.Context(), conn, "SELECT 1 FROM customers LIMIT 1"); got != "1\n" {
				t.Fatalf("before: %q", got)
			}
			changed := ""
			if tt.name == "a role" {
				changed = "anna: {roles: [seller]}"
			}
			f.reload(t, strings.Replace(crmPolicy, tt.without, changed, 1))
			if n := f.Expel(); (n == 1) != tt.out {
				t.Errorf("%d sessions are out", n)
			}
			if got := text(t.Context(), conn, "SELECT 1 FROM customers LIMIT 1"); (got == "1\n") == tt.out {
				t.Errorf("after: %q", got)
			}
		})
	}
}

// BenchmarkEndUser is a request of an end user, who is another each time: one row
// by its key, in a transaction. The first is a login of its own, without end
// users.
func BenchmarkEndUser(b *testing.B) {
	database := pgtest.Database(b, "shop")
	f := start(b, database, crmPolicy, signed(b))
	users, n := []string{"anna", "bert"}, 0
	fresh := func(user string) string {
		n++
		return sign(b, fmt.Sprint(n), user, nil)
	}
	const ask = "SELECT id, region FROM customers WHERE id = 1"
	for _, bb := range []struct {
		name, login string
		texts       func(user string) []string
	}{
		{"none", "alice", func(string) []string { return []string{"BEGIN", ask, "COMMIT"} }},
		{"comment", "crm_app", func(user string) []string {
			return []string{"BEGIN", "/*pgveil.end_user='" + user + "'*/ " + ask, "COMMIT"}
		}},
		{"setting", "crm_app", func(user string) []string {
			return []string{"BEGIN", "SET LOCAL pgveil.end_user = '" + user + "'", ask, "COMMIT"}
		}},
		{"token", "crm_app", func(user string) []string {
			return []string{"BEGIN", "SET LOCAL pgveil.token = '" + fresh(user) + "'", ask, "COMMIT"}
		}},
		{"token with BEGIN", "crm_app", func(user string) []string {
			return []string{"BEGIN; SET LOCAL pgveil.token = '" + fresh(user) + "'", ask, "COMMIT"}
		}},
		{"token in a comment", "crm_app", func(user string) []string {
			return []string{"BEGIN", ask + " /*pgveil.token='" + fresh(user) + "'*/", "COMMIT"}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			conn := f.connect(b, database, bb.login)
			requests := make([][]string, b.N)
			for i := range requests {
				requests[i] = bb.texts(users[i%len(users)])
			}
			b.ResetTimer()
			for _, texts := range requests {
				for _, sql := range texts {
					if _, err := conn.PgConn().Exec(b.Context(), sql).ReadAll(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
