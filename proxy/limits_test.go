package proxy_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"

	"github.com/jackc/pgx/v5"
)

// TestSlowLogins ends what takes longer than a login may, and only that many
// may wait at a time; who is logged in does not notice.
func TestSlowLogins(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.LoginTimeout, o.MaxUnauthorized = 300*time.Millisecond, 5
	})
	alice := f.connect(t, database, "alice")
	began := time.Now()
	conns := make([]net.Conn, 5)
	ended := make(chan error, len(conns))
	whole := packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")
	for i := range conns {
		conns[i] = f.dial(t)
		go func() {
			// A byte now and then, but never all of them.
			_, _ = io.WriteString(conns[i], whole[:1+i])
			_, err := io.ReadAll(conns[i])
			ended <- err
		}()
	}
	for range conns {
		if err := <-ended; err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("a slow login ended by %v", err)
		}
	}
	if took := time.Since(began); took < 250*time.Millisecond || took > 5*time.Second {
		t.Errorf("slow logins ended after %v", took)
	}
	if got := text(t.Context(), alice, "SELECT 1"); got != "1\n" {
		t.Errorf("a session beside them: %q", got)
	}
}

// TestTooManyLogins closes what comes when enough are logging in already.
func TestTooManyLogins(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.MaxUnauthorized = 3 })
	alice := f.connect(t, database, "alice")
	for n := 0; n < 3; {
		waiting, answer := f.dial(t), make([]byte, 1)
		if _, err := io.WriteString(waiting, gssRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(waiting, answer); err != nil {
			t.Fatal(err)
		}
		// N shows that the proxy is at it; else alice's place was not free yet.
		if answer[0] == 'N' {
			n++
		}
	}
	if got := told(t, f.dial(t), gssRequest); got != "" && got != "53300" {
		t.Errorf("one too many: %q", got)
	}
	if got := text(t.Context(), alice, "SELECT 1"); got != "1\n" {
		t.Errorf("a session beside them: %q", got)
	}
}

// TestCancelNeedsTheKey asks to cancel with keys that are wrong, in each
// version of the protocol, and then with the right one.
func TestCancelNeedsTheKey(t *testing.T) {
	w := newWireBase(t)
	f := start(t, w.name, wireRestricted)
	for _, version := range []string{"3.0", "3.2"} {
		t.Run(version, func(t *testing.T) { cancelNeedsTheKey(t, w, f, version) })
	}
}

func cancelNeedsTheKey(t *testing.T, w *wireBase, f *front, version string) {
	ctx := t.Context()
	config := f.config(t, w.name, "wire")
	config.MaxProtocolVersion = version
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	pid, secret := conn.PgConn().PID(), conn.PgConn().SecretKey()
	done := make(chan string, 1)
	go func() { done <- text(ctx, conn, "SELECT pg_sleep(30)") }()
	if err := w.asleep(ctx, pid); err != nil {
		t.Fatal(err)
	}
	key := func(pid uint32, secret []byte) string {
		return packet(80877102, string(append(binary.BigEndian.AppendUint32(nil, pid), secret...)))
	}
	wrong := bytes.Clone(secret)
	wrong[len(wrong)-1] ^= 1
	for _, k := range []string{key(pid, wrong), key(pid+1, secret), key(pid, nil), key(pid, secret[:2]), key(pid, secret[:len(secret)-1]), key(pid, append(bytes.Clone(secret), 0)), key(0, secret)} {
		if got := told(t, f.dial(t), k); got != "" {
			t.Errorf("a wrong key is answered %q", got)
		}
	}
	select {
	case got := <-done:
		t.Fatalf("a wrong key cancelled: %q", got)
	default:
	}
	if got := told(t, f.dial(t), key(pid, secret)); got != "" {
		t.Errorf("the key is answered %q", got)
	}
	if got := <-done; !strings.HasPrefix(got, "57014") {
		t.Errorf("cancelled: %q, want 57014", got)
	}
}
