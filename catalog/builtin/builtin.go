// Package builtin describes the schemas that come with PostgreSQL itself,
// pg_catalog and information_schema, so that work on schema text needs no
// server. The description is that of the newest version that pgveil supports.
package builtin

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/gob"
	"slices"
	"sync"

	"github.com/pgveil/pgveil/catalog"
)

//go:generate go run ./generate builtin.gob.gz
//go:embed builtin.gob.gz
var encoded []byte

// Contents is what the embedded file holds.
type Contents struct {
	Parts catalog.Parts
	Types []catalog.Type // by OID, without modifiers
}

// Parts gives the relations, functions, types and operators of PostgreSQL
// itself. A caller may append to the slices but not change their elements.
func Parts() catalog.Parts { return load().Parts }

// Types gives the types of PostgreSQL itself in full, in the order of their
// OIDs. A caller may append to the slice but not change its elements.
func Types() []catalog.Type { return load().Types }

// load panics on a damaged file: it is part of the program.
var load = sync.OnceValue(read)

func read() Contents {
	z, err := gzip.NewReader(bytes.NewReader(encoded))
	if err != nil {
		panic("builtin: " + err.Error())
	}
	var c Contents
	if err := gob.NewDecoder(z).Decode(&c); err != nil {
		panic("builtin: " + err.Error())
	}
	c.Parts.Schemas = slices.Clip(c.Parts.Schemas)
	c.Parts.Relations = slices.Clip(c.Parts.Relations)
	c.Parts.Funcs = slices.Clip(c.Parts.Funcs)
	c.Parts.Types = slices.Clip(c.Parts.Types)
	c.Parts.Operators = slices.Clip(c.Parts.Operators)
	c.Types = slices.Clip(c.Types)
	return c
}
