package main

import "context"

// suite is somebody's tests of PostgreSQL, or of a client of it.
type suite struct {
	name, about string

	database string   // the one that pgveil governs; its schema changes under the tests
	setup    string   // SQL that the suite wants run in it first
	users    []string // logins beside the superuser
	clear    bool     // connections are in clear, unless a test wants otherwise
	trust    bool     // nobody is asked for a password

	run func(context.Context, *stage) (results, error)
}

// suites gives all of them.
func suites() []suite {
	return []suite{
		{
			name: "regress", about: "PostgreSQL's regression tests: SQL by psql",
			database: "regression", run: regress,
		},
		{
			name: "isolation", about: "PostgreSQL's isolation tests: sessions that wait for one another",
			database: "isolation_regression", clear: true, run: isolation,
		},
		{
			name: "contrib", about: "the tests of PostgreSQL's own extensions",
			database: "governed", run: contrib,
		},
		{
			name: "libpq", about: "libpq's tests of pipelines, message by message",
			database: "libpq", run: libpq,
		},
		{
			name: "pgx", about: "the tests of pgx v5, Go",
			database: "pgx_test", setup: pgxSetup, users: pgxUsers, run: pgx5,
		},
		{
			name: "pgx4", about: "the tests of pgx v4",
			database: "pgx_test", setup: pgxSetup, users: pgxUsers, run: pgx4,
		},
		{
			name: "pgconn", about: "the tests of pgconn, which pgx v4 is made of",
			database: "pgx_test", setup: pgxSetup, users: pgxUsers, run: pgconn,
		},
		{
			name: "pq", about: "the tests of lib/pq, Go",
			database: "pqgo", setup: "CREATE ROLE pqgo LOGIN SUPERUSER", users: []string{"pqgo"}, trust: true, run: pq,
		},
	}
}
