package proxy_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	kept "github.com/pgveil/pgveil/state"
)

// enrolled gives alice a second factor, and what her authenticator shows.
func enrolled(t *testing.T, store *kept.Store, digits int) (code func(time.Time) string) {
	t.Helper()
	e, err := store.Enrol(t.Context(), kept.Factor{User: "alice", Algorithm: "SHA1", Digits: digits, Period: 30 * time.Second}, false)
	if err != nil {
		t.Fatal(err)
	}
	return func(at time.Time) string {
		code, err := totp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(e.Secret), at, totp.ValidateOpts{Period: 30, Digits: otp.Digits(digits)})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
}

// TestAppendedCode logs in with a code behind the password: whatever is wrong
// of either, the client hears the same.
func TestAppendedCode(t *testing.T) {
	database := pgtest.Database(t, "shop")
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), kept.Schema()); err != nil {
		t.Fatal(err)
	}
	store := &kept.Store{Use: func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) }, Key: make([]byte, 32)}
	code := enrolled(t, store, 6)
	now := time.Unix(1_800_000_000, 0)
	f := start(t, database, shopPolicy, overTCP(t), func(o *proxy.Options) {
		o.Method, o.State, o.Appended, o.Now = proxy.Passthrough, store, true, func() time.Time { return now }
	})
	login := func(password, factor string) string {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://alice:%s@%s/%s?sslmode=disable", url.QueryEscape(password), f.Addr, database))
		var e *pgconn.PgError
		switch {
		case errors.As(err, &e):
			return fmt.Sprintf("%+v", *e)
		case err != nil:
			t.Fatal(err)
		}
		if got := text(t.Context(), conn, "PRIVACY SHOW ACCESS"); !strings.Contains(got, "second factor|"+factor) {
			t.Errorf("%s: the session begins with\n%s", password, got)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
		return ""
	}
	if said := login("alice-password", "not given"); said != "" {
		t.Errorf("before the second factor counts: %s", said)
	}
	if err := store.CheckFactor(t.Context(), "alice", code(now), now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	wrong := login("wrong", "")
	if !strings.Contains(wrong, "28P01") || !strings.Contains(wrong, "password authentication failed") {
		t.Errorf("a wrong password: %s", wrong)
	}
	for _, tt := range []struct{ name, password, want string }{
		{"no code", "alice-password", wrong},
		{"a wrong password and a right code", "wrong" + code(now), wrong},
		{"an old code", "alice-password" + code(now.Add(-time.Minute)), wrong},
		{"a code alone", code(now), wrong},
		{"a code before the password", code(now) + "alice-password", wrong},
		{"both", "alice-password" + code(now), ""},
		{"both again", "alice-password" + code(now), wrong},
	} {
		if said := login(tt.password, "given"); said != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.want)
		}
	}
	var failures int
	if err := conn.QueryRow(t.Context(), "SELECT failures FROM pgveil.factors").Scan(&failures); err != nil || failures != 1 {
		t.Errorf("%d failures are counted, want that of the used code: %v", failures, err)
	}
	if _, err := conn.Exec(t.Context(), "DROP SCHEMA pgveil CASCADE"); err != nil {
		t.Fatal(err)
	}
	if said := login("alice-password"+code(now.Add(30*time.Second)), ""); !strings.Contains(said, "57P03") {
		t.Errorf("nobody can tell who needs a code: %s", said)
	}
}
