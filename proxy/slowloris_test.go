package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// stage is how far a client comes before it slows down, and what it then sends
// as slowly as it can.
type stage struct {
	name  string
	front string // plain, secured
	begin func(t *testing.T, conn net.Conn) net.Conn
	slow  string
}

// stages are all waits that a client which is not logged in can bring about.
func stages(database string, roots *x509.CertPool) []stage {
	startup := packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")
	sasl := "SCRAM-SHA-256\x00" + "\x00\x00\x03\xe8" + "n,,n=,r=" + strings.Repeat("a", 992)
	say := func(send string, answer int) func(*testing.T, net.Conn) net.Conn {
		return func(t *testing.T, conn net.Conn) net.Conn {
			if _, err := io.WriteString(conn, send); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, answer)); err != nil {
				t.Errorf("answer to %q: %v", send, err)
			}
			return conn
		}
	}
	secure := func(t *testing.T, conn net.Conn) net.Conn {
		secured := tls.Client(say(sslRequest, 1)(t, conn), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"postgresql"}})
		if err := secured.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
		return secured
	}
	// A ClientHello of 65,000 bytes, in four records and a part of a fifth.
	record := func(body string) string { return "\x16\x03\x01\x3e\x80" + body + strings.Repeat("x", 16000-len(body)) }
	hello := record("\x01\x00\xfd\xe8\x03\x03") + strings.Repeat(record(""), 3) + record("")[:900]
	return []stage{
		{"before the first byte", "plain", say("", 0), ""},
		{"amid the head", "plain", say("", 0), startup[:7]},
		{"amid the longest packet", "plain", say("\x00\x00\x27\x10\x00\x03\x00\x00user\x00"+strings.Repeat("a", 9900), 0), strings.Repeat("a", 50)},
		{"behind GSSENCRequest", "plain", say(gssRequest, 1), startup[:7]},
		{"before the proof", "plain", say(startup, 9), ""},
		{"amid the SASL message", "plain", say(startup+frame('p', uint32(4+len(sasl)), sasl[:500]), 9), sasl[500:]},
		{"before the TLS handshake", "secured", say(sslRequest, 1), ""},
		{"amid the TLS handshake", "secured", say(sslRequest+hello[:len(hello)-100], 1), hello[len(hello)-100:]},
		{"amid a direct TLS handshake", "secured", say(hello[:len(hello)-100], 0), hello[len(hello)-100:]},
		{"behind the TLS handshake", "secured", secure, startup[:7]},
	}
}

// slowFronts starts what stages are for, and what logs in by password, whose
// message is the longest that a client may send before its login.
func slowFronts(t *testing.T, database string, edit func(*proxy.Options)) (map[string]*front, *x509.CertPool) {
	cert, roots := certificate(t)
	return map[string]*front{
		"plain": start(t, database, shopPolicy, scram(t), overTCP(t), edit),
		"secured": start(t, database, shopPolicy, scram(t), overTCP(t), edit, func(o *proxy.Options) {
			o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		}),
		"password": start(t, database, shopPolicy, overTCP(t), edit, func(o *proxy.Options) { o.Method = proxy.Passthrough }),
	}, roots
}

// TestSlowloris sends a byte now and then, at every stage before a login: the
// time for all of it is the same as for a client that sends nothing.
func TestSlowloris(t *testing.T) {
	const limit = 500 * time.Millisecond
	database := pgtest.Database(t, "shop")
	fronts, roots := slowFronts(t, database, func(o *proxy.Options) { o.LoginTimeout = limit })
	for _, tt := range stages(database, roots) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := fronts[tt.front].dial(t)
			began := time.Now()
			slow := tt.begin(t, conn)
			tick := time.NewTicker(25 * time.Millisecond)
			defer tick.Stop()
			go func() {
				for _, b := range []byte(tt.slow) {
					<-tick.C
					if _, err := slow.Write([]byte{b}); err != nil {
						return
					}
				}
			}()
			_, err := io.Copy(io.Discard, slow)
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Error("the connection does not end")
			}
			if took := time.Since(began); took < limit-50*time.Millisecond || took > limit+5*time.Second {
				t.Errorf("the connection ended after %v, %v", took, err)
			}
		})
	}
}

// TestMemoryBeforeLogin has as many clients as may be there before their login
// each send the most that it may, and stay.
func TestMemoryBeforeLogin(t *testing.T) {
	const clients = 200
	database := pgtest.Database(t, "shop")
	fronts, roots := slowFronts(t, database, func(o *proxy.Options) { o.MaxUnauthorized, o.LoginTimeout = clients, time.Minute })
	startup := packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")
	all := append(stages(database, roots), stage{"amid the password", "password", func(t *testing.T, conn net.Conn) net.Conn {
		if _, err := io.WriteString(conn, startup); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 9)); err != nil {
			t.Error(err)
		}
		return conn
	}, frame('p', 65535, strings.Repeat("a", 65000))})
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			f := fronts[tt.front]
			before := heap()
			var conns []net.Conn
			for range clients {
				conn := f.dial(t)
				slow := tt.begin(t, conn)
				if _, err := io.WriteString(slow, strings.TrimSuffix(tt.slow, "\x00")); err != nil && !errors.Is(err, syscall.EPIPE) {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			var grown int64
			for range 10 { // what was sent may not have been read yet
				grown = max(grown, int64(heap())-int64(before))
			}
			t.Logf("%d bytes for each client", grown/clients)
			if grown/clients > 192<<10 {
				t.Errorf("%d bytes for each client", grown/clients)
			}
			for _, conn := range conns {
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
			// The next stage needs the places.
			f.empty(t, clients)
		})
	}
}

// empty waits until no connection is before its login: until all places can be
// taken at once.
func (f *front) empty(t *testing.T, places int) {
	t.Helper()
	late := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); !f.free(t, places); {
		select {
		case <-tick:
		case <-late:
			t.Fatal("places are not given back")
		}
	}
}

func (f *front) free(t *testing.T, places int) bool {
	t.Helper()
	for range places {
		conn, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer := make([]byte, 1)
		if _, err := io.WriteString(conn, gssRequest); err != nil {
			return false
		}
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'N' {
			return false
		}
	}
	return true
}
