package catalog

import (
	"slices"
	"strings"
)

// Snapshot is one database's schema at one moment. It is never changed after
// New returns it, so any number of goroutines may read it.
type Snapshot struct {
	Database      string
	ServerVersion int // server_version_num: 150018

	schemas   []string
	relations map[string]map[string]*Relation // schema, name
	byOID     map[uint32]*Relation
	funcs     map[string][]Func   // name
	types     map[string][]string // name → schemas
	operators map[string][]Name
	all       []*Relation // by qualified name
	parts     Parts
}

// Parts is what a snapshot is built from.
type Parts struct {
	Database      string
	ServerVersion int
	Schemas       []string // every schema, also one that holds nothing
	Relations     []Relation
	Funcs         []Func
	Types         []Name // every type, also array and composite types
	Operators     []Name
}

// Name is a name in a schema, and the extension that owns what it names, if any.
type Name struct{ Schema, Name, Extension string }

// New builds a snapshot from its parts, which it keeps.
func New(p Parts) *Snapshot {
	s := &Snapshot{
		Database:      p.Database,
		ServerVersion: p.ServerVersion,
		schemas:       p.Schemas,
		relations:     map[string]map[string]*Relation{},
		byOID:         map[uint32]*Relation{},
		funcs:         map[string][]Func{},
		types:         schemasByName(p.Types),
		operators:     map[string][]Name{},
		parts:         p,
	}
	for i := range p.Relations {
		r := &p.Relations[i]
		if s.relations[r.Schema] == nil {
			s.relations[r.Schema] = map[string]*Relation{}
		}
		s.relations[r.Schema][r.Name] = r
		s.byOID[r.OID] = r
		s.all = append(s.all, r)
	}
	for _, o := range p.Operators {
		s.operators[o.Name] = append(s.operators[o.Name], o)
	}
	for _, f := range p.Funcs {
		s.funcs[f.Name] = append(s.funcs[f.Name], f)
	}
	slices.SortFunc(s.all, func(a, b *Relation) int {
		return strings.Compare(a.QualifiedName(), b.QualifiedName())
	})
	return s
}

// With gives a snapshot that has more relations, in schemas that it has then.
func (s *Snapshot) With(more ...Relation) *Snapshot {
	if len(more) == 0 {
		return s
	}
	p := s.parts
	p.Relations = slices.Concat(p.Relations, more)
	for _, r := range more {
		if !slices.Contains(p.Schemas, r.Schema) {
			p.Schemas = append(slices.Clip(p.Schemas), r.Schema)
		}
	}
	return New(p)
}

func schemasByName(names []Name) map[string][]string {
	m := map[string][]string{}
	for _, n := range names {
		if !slices.Contains(m[n.Name], n.Schema) {
			m[n.Name] = append(m[n.Name], n.Schema)
		}
	}
	return m
}

// Relations gives every relation, sorted by qualified name.
func (s *Snapshot) Relations() []*Relation { return s.all }

// RelationByOID finds a relation by its OID.
func (s *Snapshot) RelationByOID(oid uint32) (*Relation, bool) {
	r, ok := s.byOID[oid]
	return r, ok
}

// Relation finds a relation as PostgreSQL does: in the named schema, or, when
// schema is empty, along the effective path (current_schemas(true): implicit
// schemas included).
func (s *Snapshot) Relation(path []string, schema, name string) (*Relation, bool) {
	if schema != "" {
		r, ok := s.relations[schema][name]
		return r, ok
	}
	for _, p := range path {
		if r, ok := s.relations[p][name]; ok {
			return r, true
		}
	}
	return nil, false
}

// Funcs gives the functions of that name in the named schema, or, when schema
// is empty, in any schema of the path, in path order.
func (s *Snapshot) Funcs(path []string, schema, name string) []Func {
	var found []Func
	if schema != "" {
		path = []string{schema}
	}
	for _, p := range path {
		for _, f := range s.funcs[name] {
			if f.Schema == p {
				found = append(found, f)
			}
		}
	}
	return found
}

// TypeSchema finds the schema of a type along the path; "" when there is none.
func (s *Snapshot) TypeSchema(path []string, name string) string {
	return first(path, s.types[name])
}

// HasType tells whether the schema holds a type of that name.
func (s *Snapshot) HasType(schema, name string) bool {
	return slices.Contains(s.types[name], schema)
}

// Operators gives every schema's operators of that name.
func (s *Snapshot) Operators(name string) []Name { return s.operators[name] }

// OperatorSchemas gives the schemas that hold an operator of that name.
func (s *Snapshot) OperatorSchemas(name string) []string {
	var schemas []string
	for _, o := range s.operators[name] {
		schemas = append(schemas, o.Schema)
	}
	return schemas
}

// HasSchema tells whether there is a schema of that name, be it empty.
func (s *Snapshot) HasSchema(schema string) bool { return slices.Contains(s.schemas, schema) }

// Schemas gives the schemas, pg_catalog first.
func (s *Snapshot) Schemas() []string {
	schemas := []string{"pg_catalog"}
	for _, name := range s.schemas {
		if name != "pg_catalog" {
			schemas = append(schemas, name)
		}
	}
	return schemas
}

func first(path, schemas []string) string {
	for _, p := range path {
		if slices.Contains(schemas, p) {
			return p
		}
	}
	return ""
}
