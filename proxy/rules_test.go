package proxy_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// visit is one login: where it is from, and what it says.
type visit struct {
	from     string // address of this machine; "" is 127.0.0.1, "unix" the socket
	user     string // "" is alice
	database string // "" is the shop
	password string // "" is the right one
	tls      bool
	direct   bool     // from the first byte
	startup  []string // pairs of name and value
}

// arrive logs in and gives how that ended: "" or SQLSTATE and message.
func (v visit) arrive(t *testing.T, f *front, database string, roots *tls.Config) string {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), v.config(t, f, database, roots))
	if err != nil {
		return said(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return ""
}

// config gives how the visit connects.
func (v visit) config(t *testing.T, f *front, database string, roots *tls.Config) *pgx.ConnConfig {
	t.Helper()
	if v.user == "" {
		v.user = "alice"
	}
	if v.database == "" {
		v.database = database
	}
	c := f.config(t, v.database, v.user, v.startup...)
	c.Password = cmp.Or(v.password, v.user+"-password")
	if v.tls || v.direct {
		c.TLSConfig = roots
	}
	if v.direct {
		c.SSLNegotiation = "direct"
		c.TLSConfig = c.TLSConfig.Clone()
		c.TLSConfig.NextProtos = []string{"postgresql"}
	}
	network, address := "tcp", f.Addr
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.from)}}
	switch {
	case v.from == "unix":
		network, address, d.LocalAddr = "unix", f.Socket, nil
	case v.from == "":
		d.LocalAddr = nil
	}
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, address) }
	return c
}

// alsoUnix has a front listen on a unix socket as well.
func (f *front) alsoUnix(t *testing.T) {
	t.Helper()
	f.Socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", f.Socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		ln.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func from(networks ...string) (all []netip.Prefix) {
	for _, n := range networks {
		all = append(all, netip.MustParsePrefix(n))
	}
	return all
}

// TestRules logs in from several places under rules, the first of which that
// fits must decide.
func TestRules(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	all := proxy.Names{All: true}
	only := func(names ...string) proxy.Names { return proxy.Names{Of: names} }
	trust := proxy.Rule{Anywhere: true, Users: all, Databases: all, ClearToo: true, Method: proxy.Trust}
	with := func(edits ...func(*proxy.Rule)) proxy.Rule {
		r := trust
		for _, edit := range edits {
			edit(&r)
		}
		return r
	}
	local := func(networks ...string) func(*proxy.Rule) {
		return func(r *proxy.Rule) { r.Anywhere, r.Networks = false, from(networks...) }
	}
	reject := func(r *proxy.Rule) { r.Method = proxy.Reject }
	underTLS := func(r *proxy.Rule) { r.ClearToo = false }
	const refused, rejected = `28000 no rule of pgveil's for host "127.0.0.1", user "alice", database "DB", no encryption`,
		`28000 a rule of pgveil's rejects the connection of host "127.0.0.1", user "alice", database "DB", no encryption`
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.TLS, o.ClearToo = &tls.Config{Certificates: []tls.Certificate{cert}}, true
	})
	f.alsoUnix(t)
	for _, tt := range []struct {
		name  string
		rules []proxy.Rule
		visit visit
		want  string // DB stands for the shop's name
	}{
		{"no rules", []proxy.Rule{}, visit{}, refused},
		{"a rule of zeros", []proxy.Rule{{}}, visit{}, refused},
		{"everybody", []proxy.Rule{trust}, visit{}, ""},
		{"everybody, by the socket", []proxy.Rule{trust}, visit{from: "unix"}, ""},
		{"no method", []proxy.Rule{with(func(r *proxy.Rule) { r.Method = 0 })}, visit{}, "28000 no method of login is configured"},
		{"the first decides, which rejects", []proxy.Rule{with(reject), trust}, visit{}, rejected},
		{"the first decides, which lets in", []proxy.Rule{trust, with(reject)}, visit{}, ""},
		{"another's rejection", []proxy.Rule{with(reject, func(r *proxy.Rule) { r.Users = only("bob") }), trust}, visit{}, ""},
		{"by name", []proxy.Rule{with(func(r *proxy.Rule) { r.Users = only("bob", "alice") })}, visit{}, ""},
		{"a name with capitals", []proxy.Rule{with(func(r *proxy.Rule) { r.Users = only("Alice") })}, visit{}, refused},
		{"a name that is a beginning", []proxy.Rule{with(func(r *proxy.Rule) { r.Users = only("al", "alice2") })}, visit{}, refused},
		{"a look-alike name", []proxy.Rule{with(func(r *proxy.Rule) { r.Users = only("аlice") })}, visit{}, refused}, // its first letter is Cyrillic
		{"a role that there is not", []proxy.Rule{with(func(r *proxy.Rule) { r.Users = only("alice") })}, visit{user: "nobody"}, strings.Replace(refused, "alice", "nobody", 1)},
		{"another database", []proxy.Rule{with(func(r *proxy.Rule) { r.Databases = only("postgres") })}, visit{}, refused},
		{"from there", []proxy.Rule{with(local("127.0.0.2/32"))}, visit{from: "127.0.0.2"}, ""},
		{"from elsewhere", []proxy.Rule{with(local("127.0.0.2/32", "10.0.0.0/8", "::/0"))}, visit{}, refused},
		{"from the network", []proxy.Rule{with(local("127.0.0.0/8"))}, visit{from: "127.9.9.9"}, ""},
		{"a socket from no network", []proxy.Rule{with(local("0.0.0.0/0", "::/0"))}, visit{from: "unix"}, `28000 no rule of pgveil's for host "[local]", user "alice", database "DB", no encryption`},
		{"a socket", []proxy.Rule{with(local(), func(r *proxy.Rule) { r.Unix = true })}, visit{from: "unix"}, ""},
		{"an address for sockets", []proxy.Rule{with(local(), func(r *proxy.Rule) { r.Unix = true })}, visit{}, refused},
		{"in clear", []proxy.Rule{with(underTLS)}, visit{}, refused},
		{"in clear is no way to a later rule", []proxy.Rule{with(underTLS), trust}, visit{}, refused},
		{"in clear by the socket", []proxy.Rule{with(underTLS)}, visit{from: "unix"}, ""},
		{"under TLS", []proxy.Rule{with(underTLS)}, visit{tls: true}, ""},
		{"under direct TLS, from there", []proxy.Rule{with(underTLS, local("127.0.0.2/32"))}, visit{direct: true, from: "127.0.0.2"}, ""},
		{"under direct TLS, from elsewhere", []proxy.Rule{with(underTLS, local("127.0.0.2/32"))}, visit{direct: true}, strings.Replace(refused, "no encryption", "SSL encryption", 1)},
		{"under TLS by the socket", []proxy.Rule{with(local("0.0.0.0/0"))}, visit{tls: true, from: "unix"}, `28000 no rule of pgveil's for host "[local]", user "alice", database "DB", SSL encryption`},
		{"under TLS, no rule", []proxy.Rule{}, visit{tls: true}, strings.Replace(refused, "no encryption", "SSL encryption", 1)},
		{"a certificate in clear", []proxy.Rule{with(func(r *proxy.Rule) { r.Certs = proxy.CertsOfCA })}, visit{}, "28000 connection requires a valid client certificate"},
		{"a certificate by the socket", []proxy.Rule{with(func(r *proxy.Rule) { r.Certs = proxy.CertsOfCA })}, visit{from: "unix"}, ""},
		{"the method cert by the socket", []proxy.Rule{with(func(r *proxy.Rule) { r.Method = proxy.Cert })}, visit{from: "unix"}, "28000 connection requires a valid client certificate"},
		{"replication is in no database", []proxy.Rule{trust}, visit{user: "dora", startup: []string{"replication", "true"}}, `28000 no rule of pgveil's for host "127.0.0.1", user "dora", replication, no encryption`},
		{"replication of a database is in it", []proxy.Rule{with(func(r *proxy.Rule) { r.Databases = only("postgres") })}, visit{user: "dora", startup: []string{"replication", "database"}}, strings.Replace(refused, "alice", "dora", 1)},
		{"replication by a rule for it", []proxy.Rule{with(func(r *proxy.Rule) { r.Databases = only(proxy.Replication) })}, visit{user: "dora", startup: []string{"replication", "true"}}, ""},
		{"replication however it is spelled", []proxy.Rule{trust}, visit{user: "dora", startup: []string{"replication", "YeS"}}, `28000 no rule of pgveil's for host "127.0.0.1", user "dora", replication, no encryption`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.SetRules(tt.rules, nil)
			want := strings.Replace(tt.want, "DB", database, 1)
			if got := tt.visit.arrive(t, f, database, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}); got != want {
				t.Errorf("login: %q, want %q", got, want)
			}
		})
	}
}

// TestRulesOverIPv6 takes an IPv4 client of a listener for both families for
// what it is.
func TestRulesOverIPv6(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ln, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6: ", err)
	}
	rule := proxy.Rule{Networks: from("127.0.0.0/8"), Users: proxy.Names{All: true}, Databases: proxy.Names{All: true}, ClearToo: true, Method: proxy.Trust}
	f := startOn(t, database, shopPolicy, ln, func(o *proxy.Options) { o.Rules = []proxy.Rule{rule} })
	_, port, _ := net.SplitHostPort(f.Addr)
	for host, want := range map[string]string{"127.0.0.1": "", "::1": `28000 no rule of pgveil's for host "::1"`} {
		f.Addr = net.JoinHostPort(host, port)
		if got := (visit{}).arrive(t, f, database, nil); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("from %s: %q, want %q", host, got, want)
		}
	}
}

// TestRulesAreReplaced puts other rules in force: they are for who comes then.
func TestRulesAreReplaced(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	inside := f.connect(t, database, "alice")
	f.SetRules([]proxy.Rule{{Anywhere: true, Users: proxy.Names{All: true}, Databases: proxy.Names{All: true}, ClearToo: true, Method: proxy.Reject, About: "auth.rules[0]: moving house"}}, nil)
	if got := (visit{}).arrive(t, f, database, nil); !strings.HasPrefix(got, "28000 a rule of pgveil's rejects") || strings.Contains(got, "moving") {
		t.Errorf("login: %q", got)
	}
	if got := text(t.Context(), inside, "SELECT 1"); got != "1\n" {
		t.Errorf("the session from before: %q", got)
	}
	last := f.sessions(t)
	if got := last[len(last)-1]; !slices.Equal(got.Reasons, []string{"auth.rules[0]: moving house"}) || got.SQLState != "28000" {
		t.Errorf("the access log does not say which rule it was: %+v", got)
	}
	if !strings.Contains(f.Log.String(), "moving house") {
		t.Errorf("the log does not say which rule it was:\n%s", f.Log)
	}
}

// sessions gives what the access log says of logins and their ends.
func (f *front) sessions(t *testing.T) (all []audit.Record) {
	t.Helper()
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.KindSession {
			all = append(all, r)
		}
	}
	return all
}
