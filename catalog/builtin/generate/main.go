// Command generate writes the description of PostgreSQL's own schemas that
// package builtin embeds, from the server that the environment names (PGHOST,
// PGPORT, PGUSER, …): one of the newest version that pgveil supports.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/builtin"
	"github.com/pgveil/pgveil/catalog/pgload"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: generate FILE")
	}
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)

	contents, err := read(ctx, conn)
	if err != nil {
		return err
	}
	data, err := encode(contents)
	if err != nil {
		return fmt.Errorf("encoding catalog: %w", err)
	}
	return os.WriteFile(args[0], data, 0o644)
}

// read leaves out what lies in other schemas: a server may have been used.
func read(ctx context.Context, conn *pgx.Conn) (builtin.Contents, error) {
	parts, err := pgload.Parts(ctx, conn)
	if err != nil {
		return builtin.Contents{}, err
	}
	types, err := pgload.Types(ctx, conn)
	if err != nil {
		return builtin.Contents{}, err
	}
	parts.Database = ""
	parts.Schemas = slices.DeleteFunc(parts.Schemas, func(name string) bool { return !catalog.SystemSchema(name) })
	parts.Relations = slices.DeleteFunc(parts.Relations, func(r catalog.Relation) bool { return r.Governed() })
	parts.Funcs = slices.DeleteFunc(parts.Funcs, func(f catalog.Func) bool { return !catalog.SystemSchema(f.Schema) })
	parts.Operators = slices.DeleteFunc(parts.Operators, func(n catalog.Name) bool { return !catalog.SystemSchema(n.Schema) })
	parts.Types = slices.DeleteFunc(parts.Types, func(n catalog.Name) bool { return !catalog.SystemSchema(n.Schema) })
	types = slices.DeleteFunc(types, func(t catalog.Type) bool { return !catalog.SystemSchema(t.Schema) })
	return builtin.Contents{Parts: parts, Types: types}, nil
}

func encode(contents builtin.Contents) ([]byte, error) {
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := gob.NewEncoder(z).Encode(contents); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
