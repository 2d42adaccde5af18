package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/guard"
)

// watch is a guard under a clock that tests turn, and what it does to others.
type watch struct {
	guard   *guard.Guard
	clock   atomic.Int64
	lookups atomic.Int32
	metrics *prometheus.Registry
}

// watching has a front guarded by small limits: three failures of a pair, nine
// of an address, twelve of a login.
func watching(t *testing.T, edits ...func(*guard.Options)) (*watch, func(*proxy.Options)) {
	t.Helper()
	w := &watch{metrics: prometheus.NewRegistry()}
	o := guard.Options{
		Pair: guard.Limit{Failures: 3, Every: time.Minute}, Address: guard.Limit{Failures: 9, Every: time.Minute},
		Network: guard.Limit{Failures: 100, Every: time.Minute}, Login: guard.Limit{Failures: 12, Every: time.Minute},
		Slow: time.Minute, IPv4: 24, IPv6: 64, Known: time.Hour, Entries: 1000, Now: func() time.Duration { return time.Duration(w.clock.Load()) },
	}
	for _, edit := range edits {
		edit(&o)
	}
	var err error
	if w.guard, err = guard.New(o); err != nil {
		t.Fatal(err)
	}
	return w, func(o *proxy.Options) {
		o.Guard, o.Suspect, o.Metrics = w.guard, 2, w.metrics
		if find := o.Lookup; find != nil {
			o.Lookup = func(ctx context.Context, user string) (auth.Verifier, error) {
				w.lookups.Add(1)
				return find(ctx, user)
			}
		}
	}
}

// counted gives a counter with one label, or none.
func (w *watch) counted(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// whole gives all that a client is told of why it does not get in.
func whole(t *testing.T, f *front, database string, v visit) string {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), v.config(t, f, database, nil))
	if err == nil {
		conn.Close(t.Context())
		return ""
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v", *e)
}

var methods = map[string]func(t testing.TB) func(*proxy.Options){
	"SCRAM":       scram,
	"passthrough": func(testing.TB) func(*proxy.Options) { return func(o *proxy.Options) { o.Method = proxy.Passthrough } },
}

// TestLockout fails until a pair is locked. Then the right password is answered
// as a wrong one, and nobody is asked about it; elsewhere it still gets in.
func TestLockout(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			w, guarded := watching(t)
			f := start(t, database, shopPolicy, method(t), overTCP(t), guarded)
			wrong := visit{password: "wrong"}
			told := whole(t, f, database, wrong)
			for range 2 {
				if got := whole(t, f, database, wrong); got != told {
					t.Fatalf("a wrong password is answered %s, and then %s", told, got)
				}
			}
			before := w.lookups.Load()
			if got := whole(t, f, database, visit{}); got != told {
				t.Errorf("locked: %s, want %s", got, told)
			}
			if now := w.lookups.Load(); now != before {
				t.Errorf("%d look-ups for who is locked", now-before)
			}
			if got := (visit{from: "127.0.0.2"}).arrive(t, f, database, nil); got != "" {
				t.Errorf("from elsewhere: %q", got)
			}
			if got := (visit{user: "dora"}).arrive(t, f, database, nil); got != "" {
				t.Errorf("another: %q", got)
			}
			w.clock.Add(int64(time.Minute))
			if got := (visit{}).arrive(t, f, database, nil); got != "" {
				t.Errorf("a minute later: %q", got)
			}
			w.isTold(t, f)
		})
	}
}

// isTold looks for a lockout, and a login after failures, in all places where
// they are told of.
func (w *watch) isTold(t *testing.T, f *front) {
	t.Helper()
	for _, m := range []struct {
		name, label string
		want        float64
	}{
		{"pgveil_login_lockouts_total", "pair", 1}, {"pgveil_login_lockouts_total", "address", 0},
		{"pgveil_logins_total", "locked", 1}, {"pgveil_logins_after_failures_total", "", 2}, // elsewhere, and later here
	} {
		if got := w.counted(t, m.name, m.label); got != m.want {
			t.Errorf("%s{%s} = %v, want %v", m.name, m.label, got, m.want)
		}
	}
	for _, want := range []string{"level=WARN", "alert=login_lockout", "alert=login_after_failures"} {
		if !strings.Contains(f.Log.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
	messages := map[string]int{}
	for _, r := range f.sessions(t) {
		messages[r.Message]++
	}
	for message, want := range map[string]int{
		"login refused": 3, "login refused, whatever its proof: too many have failed": 1,
		"alert: logins fail too often: pair": 1, "alert: a login got in after many failures": 2,
	} {
		if messages[message] != want {
			t.Errorf("the access log says %q %d times, want %d", message, messages[message], want)
		}
	}
}

// TestAddressLocks sprays over logins from one address.
func TestAddressLocks(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			w, guarded := watching(t)
			f := start(t, database, shopPolicy, method(t), overTCP(t), guarded)
			if got := (visit{from: "127.0.0.2"}).arrive(t, f, database, nil); got != "" { // alice is known there
				t.Fatal(got)
			}
			for i := range 12 {
				v := visit{user: fmt.Sprintf("user%d", i), from: "127.0.0.2"}
				if got, want := v.arrive(t, f, database, nil), fmt.Sprintf("28P01 password authentication failed for user %q", v.user); got != want {
					t.Errorf("user%d: %q, want %q", i, got, want)
				}
			}
			if n := w.lookups.Load(); name == "SCRAM" && n != 10 {
				t.Errorf("%d look-ups, want those before the lock", n)
			}
			if got := (visit{user: "dora", from: "127.0.0.2"}).arrive(t, f, database, nil); !strings.HasPrefix(got, "28P01") {
				t.Errorf("somebody new: %q", got)
			}
			if got := (visit{from: "127.0.0.2"}).arrive(t, f, database, nil); got != "" {
				t.Errorf("who is known there: %q", got)
			}
			if got := (visit{user: "dora"}).arrive(t, f, database, nil); got != "" {
				t.Errorf("from another address: %q", got)
			}
		})
	}
}

// challenged takes part in SCRAM up to a proof of zeros, and gives the salt and
// the count that it is shown, and the answer to its proof.
func (f *front) challenged(t *testing.T, database, user string) (challenge, answer string) {
	t.Helper()
	conn := f.dial(t)
	if _, err := io.WriteString(conn, packet(version30, "user\x00"+user+"\x00database\x00"+database+"\x00\x00")); err != nil {
		t.Fatal(err)
	}
	send := func(s string) {
		if _, err := io.WriteString(conn, frame('p', uint32(4+len(s)), s)); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() string {
		typ, body, err := next(conn)
		if err != nil {
			t.Fatal(err)
		}
		return string(typ) + string(body)
	}
	receive()
	send("SCRAM-SHA-256\x00" + "\x00\x00\x00\x0b" + "n,,n=,r=abc")
	first := receive()
	nonce, rest, _ := strings.Cut(first[len("R....r="):], ",")
	send("c=biws,r=" + nonce + ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	return rest, strings.ReplaceAll(receive(), user, "USER")
}

// TestLockedLooksWrong compares what a client sees of SCRAM before and while it
// is locked, as somebody who exists and as somebody who does not.
func TestLockedLooksWrong(t *testing.T) {
	database := pgtest.Database(t, "shop")
	w, guarded := watching(t)
	f := start(t, database, shopPolicy, scram(t), overTCP(t), guarded)
	answers := map[string]bool{}
	for _, user := range []string{"alice", "nobody"} {
		challenge, answer := f.challenged(t, database, user)
		for range 5 {
			again, same := f.challenged(t, database, user)
			if again != challenge || same != answer {
				t.Errorf("%s is shown %q %q, and then %q %q", user, challenge, answer, again, same)
			}
		}
		answers[answer] = true
	}
	if len(answers) != 1 || w.lookups.Load() != 6 {
		t.Errorf("%d answers, %d look-ups, want 1 and 6", len(answers), w.lookups.Load())
	}
}

// TestComingAtOnce has a pair locked by others while it proves itself: the
// proof, right as it is, must tell nothing.
func TestComingAtOnce(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			w, guarded := watching(t)
			f := start(t, database, shopPolicy, method(t), overTCP(t), guarded)
			c := (visit{}).config(t, f, database, nil)
			dial := c.DialFunc
			tap := &tapped{before: func(b []byte) {
				if b[0] == 'p' {
					for range 3 {
						w.guard.Failed(guard.Attempt{Login: "alice", Addr: netip.MustParseAddr("127.0.0.1")}, guard.Shown{})
					}
				}
			}}
			c.DialFunc = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
				tap.Conn, err = dial(ctx, network, address)
				return tap, err
			}
			if _, err := pgx.ConnectConfig(t.Context(), c); code(err) != "28P01" {
				t.Errorf("login: %v, want 28P01", err)
			}
			if got := tap.read.String(); strings.Contains(got, "v=") || strings.Contains(got, "R\x00\x00\x00\x08\x00\x00\x00\x00") {
				t.Errorf("the client learns that its proof was right: %q", got)
			}
		})
	}
}

// tapped is a connection that is listened to.
type tapped struct {
	net.Conn
	before func([]byte) // each write
	read   bytes.Buffer
}

func (c *tapped) Write(b []byte) (int, error) {
	c.before(b)
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Write(b[:n])
	return n, err
}

// TestSlowedLogins has a login fail from everywhere: who comes next waits, as
// far as there is room for that, and others do not.
func TestSlowedLogins(t *testing.T) {
	database := pgtest.Database(t, "shop")
	w, guarded := watching(t, func(o *guard.Options) { o.Slow = 2 * time.Second })
	f := start(t, database, shopPolicy, scram(t), overTCP(t), guarded, func(o *proxy.Options) { o.MaxUnauthorized = 8 })
	for i := range 20 {
		w.guard.Failed(guard.Attempt{Login: "alice", Addr: netip.AddrFrom4([4]byte{10, 0, byte(i), 1})}, guard.Shown{})
	}
	began := time.Now()
	if got := (visit{user: "dora"}).arrive(t, f, database, nil); got != "" || time.Since(began) >= 2*time.Second {
		t.Errorf("another login: %q after %v", got, time.Since(began))
	}
	began = time.Now()
	var in, refused atomic.Int32
	var tasks sync.WaitGroup
	for i := range 6 {
		tasks.Go(func() {
			switch got := (visit{from: fmt.Sprintf("127.0.0.%d", 10+i)}).arrive(t, f, database, nil); {
			case got == "" && time.Since(began) >= 2*time.Second:
				in.Add(1)
			case strings.HasPrefix(got, "28P01") && time.Since(began) < 2*time.Second:
				refused.Add(1)
			default:
				t.Errorf("%q after %v", got, time.Since(began))
			}
		})
	}
	tasks.Wait()
	if in.Load() != 2 || refused.Load() != 4 { // a quarter of eight may wait
		t.Errorf("%d got in after a while, %d were refused at once, want 2 and 4", in.Load(), refused.Load())
	}
}

// TestCertsAreGuarded tries names by a certificate that is none's.
func TestCertsAreGuarded(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ours := newAuthority(t)
	w, guarded := watching(t)
	f := start(t, database, shopPolicy, guarded, func(o *proxy.Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: ours.roots(), ClientAuth: tls.VerifyClientCertIfGiven}
		o.Rules = []proxy.Rule{{Anywhere: true, Users: proxy.Names{All: true}, Databases: proxy.Names{All: true}, Method: proxy.Cert}}
	})
	alice, bob := ours.showing(new(ours.client(t, "alice"))), ours.showing(new(ours.client(t, "bob")))
	for _, tt := range []struct {
		config *tls.Config
		want   string
	}{{alice, ""}, {bob, "28000"}, {bob, "28000"}, {bob, "28000"}, {alice, "28000"}} {
		if got := f.dialTLS(t, database, "sslmode=require", tt.config); got != tt.want {
			t.Errorf("login: %q, want %q", got, tt.want)
		}
	}
	if got := w.counted(t, "pgveil_login_lockouts_total", "pair"); got != 1 {
		t.Errorf("%v lockouts, want 1", got)
	}
}

// TestWhatDoesNotCount ends logins in other ways than by a wrong proof.
func TestWhatDoesNotCount(t *testing.T) {
	database := pgtest.Database(t, "shop")
	w, guarded := watching(t)
	f := start(t, database, shopPolicy, scram(t), overTCP(t), guarded)
	user := packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")
	for range 5 {
		for _, send := range []string{user, user + frame('p', 6, "x\x00"), user + frame('Q', 5, "\x00"), "rubbish and more"} {
			told(t, f.dial(t), send)
		}
		if got := (visit{user: "bob"}).arrive(t, f, database, nil); !strings.HasPrefix(got, "28000") { // the policy does not know him
			t.Errorf("bob: %q, want 28000", got)
		}
	}
	if got := (visit{}).arrive(t, f, database, nil); got != "" {
		t.Errorf("afterwards: %q", got)
	}
	if got := w.counted(t, "pgveil_login_lockouts_total", "address"); got != 0 {
		t.Errorf("%v lockouts of the address", got)
	}
}

// TestPlacesOfAnAddress takes all places that one address may have.
func TestPlacesOfAnAddress(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.MaxPerAddress = 3 })
	var taken []net.Conn
	for range 3 {
		conn, answer := f.dial(t), make([]byte, 1)
		if _, err := io.WriteString(conn, gssRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'N' {
			t.Fatalf("taking a place: %q, %v", answer, err)
		}
		taken = append(taken, conn)
	}
	if got := (visit{}).arrive(t, f, database, nil); got != "53300 sorry, too many clients already" {
		t.Errorf("one too many: %q", got)
	}
	if got := (visit{from: "127.0.0.2"}).arrive(t, f, database, nil); got != "" {
		t.Errorf("from another address: %q", got)
	}
	if err := taken[0].Close(); err != nil {
		t.Fatal(err)
	}
	late := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); ; {
		if got := (visit{}).arrive(t, f, database, nil); got == "" {
			return
		}
		select {
		case <-tick:
		case <-late:
			t.Fatal("a place that was given back is not to be had")
		}
	}
}

// disguised is a listener whose connections come from wherever a test says.
type disguised struct {
	net.Listener
	from atomic.Pointer[net.TCPAddr]
}

func (d *disguised) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return disguise{conn, d.from.Load()}, nil
}

type disguise struct {
	net.Conn
	from net.Addr
}

func (d disguise) RemoteAddr() net.Addr { return d.from }

// TestOneAddress has clients come from addresses that are spelled in several
// ways: rules, places and counts must see the same in all of them.
func TestOneAddress(t *testing.T) {
	database := pgtest.Database(t, "shop")
	rule := proxy.Rule{Networks: from("10.0.0.0/8", "fe80::/10", "2001:db8::/32"), Users: proxy.Names{All: true}, Databases: proxy.Names{All: true}, ClearToo: true, Method: proxy.Passthrough}
	ln := &disguised{Listener: listen(t)}
	f := startOn(t, database, shopPolicy, ln, func(o *proxy.Options) { o.Rules, o.MaxPerAddress = []proxy.Rule{rule}, 2 })
	hold := func(address string) (conn net.Conn, placed bool) {
		host := netip.MustParseAddr(address)
		ln.from.Store(&net.TCPAddr{IP: net.IP(host.AsSlice()), Zone: host.Zone(), Port: 1})
		conn, answer := f.dial(t), make([]byte, 1)
		if _, err := io.WriteString(conn, gssRequest); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadFull(conn, answer)
		return conn, err == nil && answer[0] == 'N'
	}
	come := func(address string) string {
		conn, placed := hold(address)
		if !placed {
			return "no place"
		}
		if _, err := io.WriteString(conn, packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")); err != nil {
			t.Fatal(err)
		}
		_, body, err := next(conn)
		if err != nil {
			t.Fatal(err)
		}
		_, message, _ := strings.Cut(string(body), "\x00M")
		message, _, _ = strings.Cut(message, "\x00")
		return message
	}
	const may = "a password may be sent under TLS only" // so the rule fits
	for _, tt := range []struct{ from, want string }{
		{"::ffff:10.0.0.1", may},
		{"fe80::1%eth0", may},
		{"2001:db8::1", may},
		{"192.0.2.1", `no rule of pgveil's for host "192.0.2.1", user "alice", database "DB", no encryption`},
		{"::ffff:192.0.2.1", `no rule of pgveil's for host "192.0.2.1", user "alice", database "DB", no encryption`},
		{"::10.0.0.1", `no rule of pgveil's for host "::a00:1", user "alice", database "DB", no encryption`},
	} {
		if got := come(tt.from); got != strings.Replace(tt.want, "DB", database, 1) {
			t.Errorf("from %s: %q, want %q", tt.from, got, tt.want)
		}
	}
	for _, tt := range []struct {
		from   string
		placed bool
	}{
		{"10.9.9.9", true}, {"::ffff:10.9.9.9", true}, {"10.9.9.9", false}, {"10.9.9.8", true},
		{"2001:db8:1::1", true}, {"2001:db8:1::2", true}, {"2001:db8:1::3", false}, {"2001:db8:1:0:ffff::", false}, {"2001:db8:1:1::1", true},
	} {
		if _, placed := hold(tt.from); placed != tt.placed {
			t.Errorf("a place for %s: %t, want %t", tt.from, placed, tt.placed)
		}
	}
}
