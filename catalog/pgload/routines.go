package pgload

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

var (
	//go:embed sql/types.sql
	typesSQL string
	//go:embed sql/functions.sql
	functionsSQL string
	//go:embed sql/operators.sql
	operatorsSQL string
)

// typeRow is a type together with the type that a domain is over.
type typeRow struct {
	catalog.Type
	base uint32
}

// Types reads every type of the database in full, in the order of their OIDs.
// The parts of a snapshot hold no more than names.
func Types(ctx context.Context, conn *pgx.Conn) ([]catalog.Type, error) {
	var l loader
	if err := inCatalog(ctx, conn, func(tx pgx.Tx) error { return l.loadTypes(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("loading types: %w", err)
	}
	types := make([]catalog.Type, 0, len(l.types))
	for _, oid := range slices.Sorted(maps.Keys(l.types)) {
		types = append(types, l.types[oid].Type)
	}
	return types, nil
}

func (l *loader) loadTypes(ctx context.Context, tx pgx.Tx) error {
	l.types = map[uint32]typeRow{}
	t := typeRow{Type: catalog.Type{Mod: -1}}
	dest := []any{&t.OID, &t.Schema, &t.Name, &t.SQL, &t.Kind, &t.Elem, &t.base}
	err := each(ctx, tx, typesSQL, dest, func() error {
		l.types[t.OID] = t
		l.parts.Types = append(l.parts.Types, catalog.Name{Schema: t.Schema, Name: t.Name})
		return nil
	})
	if err != nil {
		return err
	}
	for oid, t := range l.types {
		bottom := l.bottom(t)
		t.Base = bottom.Name
		if t.Kind == 'd' {
			t.BaseSchema = bottom.Schema
		}
		l.types[oid] = t
	}
	return nil
}

// bottom follows a domain, which may be over another one, to its base type.
func (l *loader) bottom(t typeRow) typeRow {
	for t.base != 0 {
		t = l.types[t.base]
	}
	return t
}

func (l *loader) loadFuncs(ctx context.Context, tx pgx.Tx) error {
	var (
		f              catalog.Func
		args, defaults int
		variadic       bool
		modes, argName []string
	)
	dest := []any{
		&f.OID, &f.Schema, &f.Name, &args, &defaults, &variadic, &f.Kind, &f.Volatility,
		&f.ReturnsSet, &f.Returns, &f.RowType, &modes, &argName, &f.Extension,
	}
	return each(ctx, tx, functionsSQL, dest, func() error {
		f.MinArgs, f.MaxArgs = args-defaults, args
		if variadic {
			f.MaxArgs = -1
		}
		f.OutNames = outNames(modes, argName)
		l.parts.Funcs = append(l.parts.Funcs, f)
		return nil
	})
}

// outNames picks the names of arguments that are results as well. One that
// was given no name has an empty one.
func outNames(modes, argNames []string) []string {
	var out []string
	for i, mode := range modes {
		if mode != "o" && mode != "b" && mode != "t" {
			continue
		}
		name := ""
		if i < len(argNames) {
			name = argNames[i]
		}
		out = append(out, name)
	}
	return out
}

func (l *loader) loadOperators(ctx context.Context, tx pgx.Tx) error {
	var n catalog.Name
	return each(ctx, tx, operatorsSQL, []any{&n.Schema, &n.Name, &n.Extension}, func() error {
		l.parts.Operators = append(l.parts.Operators, n)
		return nil
	})
}
