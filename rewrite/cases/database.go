package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// session gives a session as new: one that a case before has left, unless
// there is none.
func (s *Server) session(ctx context.Context, database string) (*pgx.Conn, error) {
	s.mu.Lock()
	conn := s.idle[database]
	delete(s.idle, database)
	s.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	return s.connect(ctx, database)
}

// release keeps a session for the next case, if nothing of this one stays in
// it.
func (s *Server) release(ctx context.Context, conn *pgx.Conn, database string) error {
	if conn.IsClosed() || conn.PgConn().TxStatus() != 'I' {
		return conn.Close(ctx)
	}
	if _, err := conn.Exec(ctx, "DISCARD ALL"); err != nil {
		return errors.Join(fmt.Errorf("end a case's session: %w", err), conn.Close(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle[database] != nil {
		return conn.Close(ctx)
	}
	s.idle[database] = conn
	return nil
}

// database gives the database of a fixture's rows, which the first call makes.
// A fixture and its twin are copies of one database, so that whatever the
// catalog tells, object identifiers as well, is equal on both.
func (s *Server) database(ctx context.Context, fx *Fixture, rows string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := filepath.Join(fx.Dir, rows)
	if name, ok := s.databases[key]; ok {
		return name, nil
	}
	schema := filepath.Join(fx.Dir, "schema.sql")
	if s.databases[schema] == "" {
		if err := s.create(ctx, schema, "", schema, filepath.Join(fx.Dir, "roles.sql")); err != nil {
			return "", err
		}
	}
	err := s.create(ctx, key, " TEMPLATE "+s.databases[schema], key)
	return s.databases[key], err
}

// create makes the database of a key and loads files, of which roles.sql may
// be missing.
func (s *Server) create(ctx context.Context, key, template string, files ...string) error {
	name := fmt.Sprintf("pgveil_cases_%d_%d", os.Getpid(), len(s.databases))
	if err := s.admin(ctx, "CREATE DATABASE "+name+template); err != nil {
		return err
	}
	s.databases[key] = name
	conn, err := s.connect(ctx, name)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && filepath.Base(file) == "roles.sql" {
			continue
		}
		if err == nil {
			_, err = conn.PgConn().Exec(ctx, string(text)).ReadAll()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("load fixture: %s: %w", filepath.Base(file), err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

func (s *Server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(s.dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to the cases' server: %w", err)
	}
	if database != "" {
		config.Database = database
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // DISCARD ALL drops statements that pgx would keep
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cases' server: %w", err)
	}
	return conn, nil
}

// admin runs one statement outside the cases' databases.
func (s *Server) admin(ctx context.Context, sql string) error {
	conn, err := s.connect(ctx, "")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
