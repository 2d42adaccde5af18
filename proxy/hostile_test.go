package proxy_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// loggedIn gives a connection whose login is over.
func (f *front) loggedIn(t testing.TB, database, user string) net.Conn {
	t.Helper()
	conn := f.dial(t)
	if _, err := io.WriteString(conn, packet(version30, "user\x00"+user+"\x00database\x00"+database+"\x00\x00")); err != nil {
		t.Fatal(err)
	}
	for {
		typ, body, err := next(conn)
		if err != nil {
			t.Fatal(err)
		}
		switch typ {
		case 'Z':
			return conn
		case 'E':
			t.Fatalf("log in: %q", body)
		}
	}
}

// TestHostileMessages sends, once logged in, what no client should. The client
// is told with a FATAL error, or the server's own one, and others live on.
func TestHostileMessages(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	beside := f.connect(t, database, "alice")
	for _, tt := range []struct {
		name string
		send string
		want string // SQLSTATE of the FATAL error; "" for none before the end
	}{
		{"a length of zero", frame('Q', 0, ""), "08P01"},
		{"a length of three", frame('Q', 3, ""), "08P01"},
		{"an empty body", frame('Q', 4, ""), "08P01"},
		{"a huge length", frame('Q', 0x7fffffff, ""), "08P01"},
		{"a negative length", frame('Q', 0xffffffff, ""), "08P01"},
		{"the end amid a giant text", frame('Q', 0x3fffffff, "SELECT"), ""},
		{"a Describe longer than any name", frame('D', 1<<20, "S"), "54000"},
		{"a CopyFail longer than any reason", frame('f', 1<<20, ""), "54000"},
		{"a text without its zero", frame('Q', 4+8, "SELECT 1"), "08P01"},
		{"bytes behind the text", frame('Q', 4+10, "SELECT 1\x00x"), "08P01"},
		{"a Parse cut short", frame('P', 4+3, "s\x00S"), "08P01"},
		{"a Parse without types, which the server refuses", frame('P', 4+11, "s\x00SELECT 1\x00"), ""},
		{"a Bind cut short", frame('B', 4+1, "p"), "08P01"},
		{"a Describe of nothing", frame('D', 4+2, "X\x00"), "08P01"},
		{"a Close of nothing", frame('C', 4+2, "X\x00"), "08P01"},
		{"an Execute cut short", frame('E', 4+2, "\x00\x00"), "08P01"},
		{"a type that there is not", frame('?', 4, ""), "08P01"},
		{"a type of the server's", frame('Z', 5, "I"), "08P01"},
		{"a password out of turn", frame('p', 4+2, "x\x00"), "08P01"},
		{"a startup packet again, which is the beginning of a long message", packet(version30, "user\x00dora\x00\x00"), ""},
		{"SSLRequest again", sslRequest, ""},
		{"the end amid a head", "Q\x00\x00", ""},
		{"the end amid a body", frame('Q', 100, "SELECT"), ""},
		{"the end amid long data", frame('d', 1<<29, "SELECT"), ""},
		{"Terminate", frame('X', 4, ""), ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := told(t, f.loggedIn(t, database, "alice"), tt.send)
			if strings.HasPrefix(got, "E") && tt.want == "" {
				got = "" // an ERROR, and no FATAL one
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := text(t.Context(), beside, "SELECT 1"); got != "1\n" {
				t.Errorf("a session beside it: %q", got)
			}
		})
	}
}

// TestHostileServer lets a server misbehave at every turn.
func TestHostileServer(t *testing.T) {
	database := pgtest.Database(t, "shop")
	rows := encode(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a")}}}, &pgproto3.DataRow{Values: [][]byte{[]byte("1")}})
	ready := encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for _, tt := range []struct {
		name   string
		answer string // to the client's query
		want   string // what the client gets ends so, usually in the SQLSTATE
	}{
		{"goes away without a word", "", "08006"},
		{"goes away amid a head", "T\x00", "08006"},
		{"goes away amid a result", string(rows), "08006"},
		{"goes away amid a row", string(rows) + frame('D', 1000, "x"), "D\x00\x00\x03\xe8x"}, // an error would be taken for more of the row
		{"goes away amid COPY", string(encode(&pgproto3.CopyOutResponse{}, &pgproto3.CopyData{Data: []byte("x")})), "08006"},
		{"goes away amid an error", frame('E', 100, "SERROR"), "08006"},
		{"sends rubbish", "GET / HTTP/1.1\r\n", "08P01"},
		{"sends zeros", strings.Repeat("\x00", 100), "08P01"},
		{"sends a type that there is not", frame('?', 4, ""), "08P01"},
		{"sends a length of three", frame('D', 3, ""), "08P01"},
		{"sends a negative length", frame('D', 0xffffffff, ""), "08P01"},
		{"sends a giant error", frame('E', 0x3fffffff, "SERROR"), "08P01"},
		{"sends an error without its end", frame('E', 4+7, "SERROR\x00"), "08P01"},
		{"asks for a password", frame('R', 8, "\x00\x00\x00\x03"), "08P01"},
		{"sends a key again", frame('K', 12, "12345678"), "08P01"},
		{"answers what was not asked", string(encode(&pgproto3.ParseComplete{})), "08P01"},
		{"is ready twice", string(ready) + string(ready), "08P01"},
		{"is ready for nothing", frame('Z', 4, ""), "08P01"},
		{"completes after it is ready", string(ready) + string(encode(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})), "08P01"},
		{"turns off what literals mean", string(encode(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "off"})), "42501"},
		{"turns to another encoding", string(encode(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "SJIS"})), "42501"},
		{"is shut down", string(encode(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "x"})), "57P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newFakeServer(t, nil, func(conn net.Conn) {
				if answerProbe(conn) != nil {
					return
				}
				if typ, _, err := next(conn); err != nil || typ != 'Q' {
					t.Errorf("got message %q: %v", typ, err)
				}
				_, _ = io.WriteString(conn, tt.answer)
			})
			f := start(t, database, shopPolicy, server.instead)
			got := asked(t, f.loggedIn(t, database, "alice"), frame('Q', 4+9, "SELECT 1\x00"))
			if !strings.HasSuffix(got, tt.want) {
				t.Errorf("the client got %q, want %s", got, tt.want)
			}
			if strings.Contains(got, "sent a key") || len(got) > 300 {
				t.Errorf("the client got too much: %q", got)
			}
		})
	}
}

// TestHostileServerAtLogin lets the server misbehave before it is ready.
func TestHostileServerAtLogin(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for _, tt := range []struct {
		name, answer string
	}{
		{"goes away", ""},
		{"goes away amid the login", string(welcome()[:20])},
		{"sends rubbish", "HTTP/1.1 400 Bad Request\r\n\r\n"},
		{"asks for what nobody has", frame('R', 8, "\x00\x00\x00\x07")},
		{"asks for a password that there is not", frame('R', 8, "\x00\x00\x00\x03")},
		{"is ready at once", string(encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))},
		{"has a giant to say", frame('E', 0x3fffffff, "S")},
		{"has a short key", string(welcome()[:9]) + frame('K', 8, "abcd")},
		{"sends a row", string(welcome()[:9]) + string(encode(&pgproto3.DataRow{}))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newFakeServer(t, func(conn net.Conn) { _, _ = io.WriteString(conn, tt.answer) }, nil)
			f := start(t, database, shopPolicy, server.instead)
			got := told(t, f.dial(t), packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00"))
			if len(got) < 5 || got == "stuck" || strings.Contains(got, "Z\x00\x00\x00\x05") {
				t.Errorf("the client got %q, want a FATAL error", got)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		server := newFakeServer(t, func(net.Conn) {}, nil)
		f := start(t, database, shopPolicy, server.instead)
		if err := server.ln.Close(); err != nil {
			t.Fatal(err)
		}
		defer func() { server.ln = listen(t) }()
		if got := told(t, f.dial(t), packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")); got != "08001" {
			t.Errorf("the client got %q, want 08001", got)
		}
	})
}
