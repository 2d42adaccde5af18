// Package pgserver runs a PostgreSQL server of one's own: for the tests, the
// demo and the benchmarks.
//
//	s, err := pgserver.Start(ctx, pgserver.Options{FastUnsafe: true})
//	…
//	defer s.Stop()
//	conn, err := pgx.Connect(ctx, s.DSN("postgres", pgserver.Superuser))
//
// A server lives no longer than the process that started it, however that
// process ends: a watcher beside it (see leash) stops it and removes its
// files. It listens on 127.0.0.1, where every login needs a password, and on a
// Unix socket in a folder that only its own operating system user may enter,
// where none does.
//
// Starting takes a copy of a cluster that initdb made once for this version
// of PostgreSQL and that is kept in the user's cache folder, unless the options
// say otherwise.
//
// The package needs PostgreSQL's server programs (Find says where it looks)
// and never downloads them.
package pgserver
