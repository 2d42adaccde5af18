package proxy_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// held is a connection that keeps what is written, once it is told to, until it
// is let go all at once.
type held struct {
	net.Conn
	holds bool
	kept  bytes.Buffer
}

func (h *held) Write(b []byte) (int, error) {
	if h.holds {
		return h.kept.Write(b)
	}
	return h.Conn.Write(b)
}

func (h *held) letGo() error {
	if err := h.SetWriteDeadline(time.Time{}); err != nil { // TLS, closed, lets nobody write
		return err
	}
	_, err := h.Conn.Write(h.kept.Bytes())
	return err
}

// What a client sends right before it closes TLS, or together with a part of
// the next record, is acted on like anything else.
func TestLastWordsUnderTLS(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, cut := range []int{0, 1, 10} { // bytes of the closing alert that come later
			h := &held{Conn: f.dial(t)}
			conn := tls.Client(h, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"postgresql"}, MaxVersion: version})
			if _, err := io.WriteString(conn, packet(version30, "user\x00dora\x00database\x00"+database+"\x00\x00")); err != nil {
				t.Fatal(err)
			}
			if err := say(conn, 'Z'); err != nil {
				t.Fatal(err)
			}
			h.holds = true
			last := encode(&pgproto3.Query{String: "INSERT INTO countries VALUES ('ZZ', 'Nowhere', 'EU')"}, &pgproto3.Terminate{})
			if _, err := conn.Write(last); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			h.kept.Truncate(h.kept.Len() - cut)
			if err := h.letGo(); err != nil {
				t.Fatal(err)
			}
			if err := h.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, conn)
			admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, "postgres"))
			if got := text(t.Context(), admin, "DELETE FROM countries WHERE code = 'ZZ' RETURNING code"); got != "ZZ\n" {
				t.Errorf("%s, %d bytes short: %q, the statement did not run", tls.VersionName(version), cut, got)
			}
		}
	}
}
