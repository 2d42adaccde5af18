package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// postgres is a server with TLS, and with a role for each way to log in.
var postgres struct {
	once   sync.Once
	server *pgserver.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if postgres.server != nil {
		if err := postgres.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// hba gives some roles a method of their own.
const hba = `local all all trust
host all trusted 127.0.0.1/32 trust
host all clear 127.0.0.1/32 password
host all old 127.0.0.1/32 md5
host all all 127.0.0.1/32 scram-sha-256
`

// roles has a trap for AuthQuery: by its own search_path the service login finds
// another pg_authid.
const roles = `
CREATE ROLE alice LOGIN PASSWORD 'pencil';
CREATE ROLE group_only PASSWORD 'pencil';
CREATE ROLE past LOGIN PASSWORD 'pencil' VALID UNTIL '2020-01-01';
CREATE ROLE future LOGIN PASSWORD 'pencil' VALID UNTIL 'infinity';
CREATE ROLE bare LOGIN;
CREATE ROLE role_with_a_name_as_long_as_names_can_be_which_is_63_characters LOGIN PASSWORD 'pencil';
CREATE ROLE trusted LOGIN PASSWORD 'pencil';
CREATE ROLE clear LOGIN PASSWORD 'pencil';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'pencil';
CREATE ROLE service LOGIN SUPERUSER;
RESET password_encryption;
ALTER ROLE service PASSWORD 'service';
ALTER ROLE service SET search_path = trap, pg_catalog;
CREATE SCHEMA trap;
CREATE TABLE trap.pg_authid AS SELECT rolname, rolpassword FROM pg_catalog.pg_authid;
UPDATE trap.pg_authid SET rolpassword = 'trapped'`

func server(t testing.TB) *pgserver.Server {
	t.Helper()
	postgres.once.Do(func() { postgres.server, postgres.err = startPostgres() })
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	return postgres.server
}

func startPostgres() (*pgserver.Server, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "auth-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // it is read once
	file := filepath.Join(dir, "pg_hba.conf")
	// The server may run as another operating system user.
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(file, []byte(hba), 0o644)); err != nil {
		return nil, err
	}
	s, err := pgserver.Start(ctx, pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true, TLS: true, Settings: map[string]string{"hba_file": file},
	})
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, s.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return s, err
	}
	_, err = conn.PgConn().Exec(ctx, roles).ReadAll()
	return s, errors.Join(err, conn.Close(ctx))
}

// upstream dials the server, over TLS or not, and gets as far as the startup
// message.
func upstream(t testing.TB, user string, encrypted bool) (*socket, ChannelBinding, error) {
	t.Helper()
	s := server(t)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, nil, err
	}
	var binding ChannelBinding
	if encrypted {
		if conn, binding, err = encrypt(conn, s.CAFile()); err != nil {
			return nil, nil, err
		}
	}
	params := "user\x00" + user + "\x00database\x00postgres\x00\x00"
	startup := binary.BigEndian.AppendUint32(nil, uint32(8+len(params)))
	startup = append(binary.BigEndian.AppendUint32(startup, 3<<16), params...)
	_, err = conn.Write(startup)
	return newSocket(conn), binding, err
}

func encrypt(conn net.Conn, caFile string) (net.Conn, ChannelBinding, error) {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
		return nil, nil, err
	}
	var reply [1]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil || reply[0] != 'S' {
		return nil, nil, fmt.Errorf("server offers no TLS: %q, %w", reply, err)
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	secure := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err := secure.Handshake(); err != nil {
		return nil, nil, err
	}
	return secure, EndPoint(secure.ConnectionState().PeerCertificates[0]), nil
}

func opener(config *pgx.ConnConfig) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, config) }
}

func authQuery(t testing.TB) *AuthQuery {
	t.Helper()
	config, err := pgx.ParseConfig(server(t).HostDSN("postgres", "service", "service"))
	if err != nil {
		t.Fatal(err)
	}
	q := NewAuthQuery(opener(config), "")
	t.Cleanup(func() { q.Close(context.Background()) }) // the backend may have gone first
	return q
}

func TestLoginToPostgres(t *testing.T) {
	q := authQuery(t)
	learned, err := q.Lookup(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys("pencil", learned.Salt, learned.Iterations)
	if err != nil {
		t.Fatal(err)
	}
	password, wrong := PasswordSecret("pencil"), PasswordSecret("eraser")
	for _, tt := range []struct {
		name, user string
		secret     Secret
		tls        bool
		require    bool
		code       string // of the ServerError
		unproven   bool
	}{
		{name: "SCRAM", user: "alice", secret: password},
		{name: "SCRAM by client key", user: "alice", secret: Secret{scram: keys}},
		{name: "PLUS", user: "alice", secret: password, tls: true, require: true},
		{name: "PLUS by client key", user: "alice", secret: Secret{scram: keys}, tls: true, require: true},
		{name: "SCRAM, wrong", user: "alice", secret: wrong, code: codePassword},
		{name: "SCRAM, expired", user: "past", secret: password, code: codePassword},
		{name: "SCRAM, unknown", user: "nobody", secret: password, code: codePassword},
		{name: "password", user: "clear", secret: password, tls: true},
		{name: "password, wrong", user: "clear", secret: wrong, tls: true, code: codePassword},
		{name: "MD5", user: "old", secret: password, tls: true},
		{name: "MD5, wrong", user: "old", secret: wrong, tls: true, code: codePassword},
		{name: "trust", user: "trusted"},
		{name: "trust with a password", user: "trusted", secret: password, unproven: true},
		{name: "trust with a wrong password", user: "trusted", secret: wrong, unproven: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, binding, err := upstream(t, tt.user, tt.tls)
			if err != nil {
				t.Fatal(err)
			}
			err = Login(t.Context(), c, tt.user, tt.secret, LoginOptions{Binding: binding, RequireBinding: tt.require, Private: tt.tls, Trust: true})
			var refused *ServerError
			switch {
			case tt.code != "" && errors.As(err, &refused) && refused.Code() == tt.code:
			case tt.unproven && errors.Is(err, ErrUnproven):
			case tt.code == "" && !tt.unproven && err == nil:
			default:
				t.Errorf("Login = %v, want SQLSTATE %q, unproven %v", err, tt.code, tt.unproven)
			}
		})
	}
}

// TestSASLprepIsPostgres lets PostgreSQL make a verifier for passwords of all
// kinds, and derives the same keys from them.
func TestSASLprepIsPostgres(t *testing.T) {
	conn := pgtest.Connect(t, server(t).DSN("postgres", pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), "SET scram_iterations = 1"); err != nil && !strings.Contains(err.Error(), "unrecognized") {
		t.Fatal(err) // the setting is there since PostgreSQL 16
	}
	for _, password := range []string{
		"pencil", " pencil ", "a\tb", "I\u00adX", "Ⅸ", "ª", "µ²³´½…", "ﬁlter", "ＡＢＣ", "Å", "Å",
		"naïve", "naı̈ve", "日本語", "ｶﾞ", "한글", "\u1112\u1161\u11ab", "a\u00a0b", "a\u3000b", "a\u200bb", "\u200d", "\u00ad",
		"שלום", "שלום1", "1שלום", "שaם", "ا1ب", "اaب", "ا!", "a\u200eb", "a\u202eb", "ا\u0651ب", "😀", "😀µ", "µ\u0007",
		"\u0221µ", "ẞ²", "₿²", "²\ue000", "²\ufffd", "\U000e0001²", "\u2126", "\u2800²", "ا\u302eب", "e\u0301\u0323",
		"\u0340²", "\u0341", "\ufb1d\u05b7", "\ufdfa", "\u2f800", "\U0001d400", "ǅ", "ſ", "K", "\u0f77", "\u0344",
	} {
		var stored string
		if _, err := conn.Exec(t.Context(), "ALTER ROLE bare PASSWORD '"+password+"'"); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "SELECT rolpassword FROM pg_authid WHERE rolname = 'bare'").Scan(&stored); err != nil {
			t.Fatal(err)
		}
		v, err := ParseVerifier(stored)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := deriveKeys(password, v.Salt, v.Iterations)
		if err != nil {
			t.Fatal(err)
		}
		if string(keys.StoredKey) != string(v.StoredKey) {
			t.Errorf("saslprep(%+q) = %+q, which is not what PostgreSQL hashes", password, saslprep(password))
		}
	}
	if _, err := conn.Exec(t.Context(), "ALTER ROLE bare PASSWORD NULL"); err != nil {
		t.Fatal(err)
	}
}
