package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestProtocolVersions asks for versions and options, the server itself and
// through pgveil, which must negotiate alike and give keys of the same length.
func TestProtocolVersions(t *testing.T) {
	w := newWireBase(t)
	f := start(t, w.name, wireRestricted)
	for _, tt := range []struct {
		name    string
		version uint32
		options []string
	}{
		{"3.0", version30, nil},
		{"3.1, which there never was", 3<<16 | 1, nil},
		{"3.2", version32, nil},
		{"3.3", 3<<16 | 3, nil},
		{"3.9999, as a client that checks for rigid servers asks", 3<<16 | 9999, nil},
		{"3.0 with an option", version30, []string{"_pq_.x"}},
		{"3.2 with options", version32, []string{"_pq_.x", "_pq_.report_parameters"}},
		{"3.9999 with an option", 3<<16 | 9999, []string{"_pq_.test_protocol_negotiation"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := w.negotiate(t, "unix", socket(pgtest.Server(t)), tt.version, tt.options)
			for range 2 { // the server is asked, then known
				if got := w.negotiate(t, "tcp", f.Addr, tt.version, tt.options); got != want {
					t.Errorf("pgveil: %s; PostgreSQL: %s", got, want)
				}
			}
		})
	}
}

// negotiate logs in and tells what was negotiated, and how long the key is.
func (w *wireBase) negotiate(t *testing.T, network, address string, version uint32, options []string) string {
	t.Helper()
	conn, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	params := map[string]string{"user": "wire", "database": w.name}
	for _, o := range options {
		params[o] = "1"
	}
	c := pgproto3.NewFrontend(conn, conn)
	c.Send(&pgproto3.StartupMessage{ProtocolVersion: version, Parameters: params})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for {
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.NegotiateProtocolVersion:
			// In any order: they come out of a map.
			fmt.Fprintf(&got, "negotiated %x and %d options, ", m.NewestMinorProtocol, len(m.UnrecognizedOptions))
			for _, o := range m.UnrecognizedOptions {
				if params[o] == "" {
					t.Errorf("option %q was not asked for", o)
				}
			}
		case *pgproto3.BackendKeyData:
			fmt.Fprintf(&got, "key of %d bytes", len(m.SecretKey))
		case *pgproto3.ErrorResponse:
			t.Fatal(m.Message)
		case *pgproto3.ReadyForQuery:
			return got.String()
		}
	}
}

// TestOtherProtocols compares how PostgreSQL and pgveil refuse what is no
// version 3, but for the versions that they say they know.
func TestOtherProtocols(t *testing.T) {
	w := newWireBase(t)
	f := start(t, w.name, wireRestricted)
	refusal := func(network, address string, version uint32) string {
		conn, err := net.DialTimeout(network, address, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, packet(version, "user\x00wire\x00\x00")); err != nil {
			t.Fatal(err)
		}
		var b [200]byte
		n, err := conn.Read(b[:])
		if err != nil {
			t.Fatal(err)
		}
		got := string(b[:n])
		at := strings.Index(got, "unsupported")
		if at < 0 {
			t.Fatalf("answer %q", got)
		}
		words, _, _ := strings.Cut(got[at:], "3.0 to")
		return fmt.Sprintf("%q, as a text: %t", words, strings.HasPrefix(got, "EFATAL"))
	}
	for _, version := range []uint32{0, 1 << 16, 2 << 16, 4 << 16, 4<<16 | 2} {
		want := refusal("unix", socket(pgtest.Server(t)), version)
		if got := refusal("tcp", f.Addr, version); got != want {
			t.Errorf("%x: pgveil %s, PostgreSQL %s", version, got, want)
		}
	}
}
