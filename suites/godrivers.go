package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// pgxUsers are the logins of pgx's tests beside the superuser, and pgxSetup
// what they find in their database.
var pgxUsers = []string{"pgx_ssl", "pgx_scram"}

const pgxSetup = `
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE DOMAIN uint64 AS numeric(20,0);
CREATE USER pgx_ssl WITH SUPERUSER PASSWORD 'secret';
CREATE USER pgx_scram WITH SUPERUSER PASSWORD 'secret';
CREATE USER " tricky, ' } "" \\ test user " SUPERUSER PASSWORD 'secret';
`

// pgx5 runs the tests of pgx, which is told of each way to log in by a
// connection string of its own.
func pgx5(ctx context.Context, st *stage) (results, error) {
	super := st.conninfo(pgserver.Superuser, st.server.Password())
	return goModule{"github.com/jackc/pgx/v5", "v5.12.0"}.test(ctx, st,
		"PGX_TEST_DATABASE="+super, "PGX_TEST_TCP_CONN_STRING="+super,
		"PGX_TEST_TLS_CONN_STRING="+st.conninfo("pgx_ssl", "secret"),
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING="+st.conninfo("pgx_scram", "secret"),
		"PGX_TEST_SCRAM_PLUS_CONN_STRING="+st.conninfo("pgx_scram", "secret")+" channel_binding=require",
	)
}

func pgx4(ctx context.Context, st *stage) (results, error) {
	super := st.conninfo(pgserver.Superuser, st.server.Password())
	return goModule{"github.com/jackc/pgx/v4", "v4.18.3"}.test(ctx, st, "PGX_TEST_DATABASE="+super)
}

// pgconn runs the tests of what pgx v4 speaks the protocol with.
func pgconn(ctx context.Context, st *stage) (results, error) {
	super := st.conninfo(pgserver.Superuser, st.server.Password())
	return goModule{"github.com/jackc/pgconn", "v1.14.3"}.test(ctx, st,
		"PGX_TEST_CONN_STRING="+super, "PGX_TEST_TCP_CONN_STRING="+super, "PGX_TEST_TLS_CONN_STRING="+super)
}

// pq runs the tests of lib/pq, which go by names of their own if not told
// otherwise, and which find it if they are.
func pq(ctx context.Context, st *stage) (results, error) {
	return goModule{"github.com/lib/pq", "v1.12.3"}.test(ctx, st, "PGPORT="+strconv.Itoa(st.port()))
}

// conninfo says to pgx where to connect, and as whom.
func (st *stage) conninfo(user, password string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=verify-full sslrootcert=%s",
		st.port(), user, password, st.suite.database, st.server.CAFile())
}
