// Package catalog describes the schema of one PostgreSQL database: its
// relations, columns, keys, functions, types and operators.
//
// A Snapshot is immutable. It is built whole, by pgload from a live server or
// by ddl from CREATE statements, and swapped whole; nothing here does I/O.
package catalog

// RelKind is a relation's kind, by pg_class.relkind's letters.
type RelKind byte

// The kinds of relation. The zero RelKind is none of them.
const (
	Table            RelKind = 'r'
	PartitionedTable RelKind = 'p'
	View             RelKind = 'v'
	MaterializedView RelKind = 'm'
	ForeignTable     RelKind = 'f'
	Sequence         RelKind = 'S'
	CompositeType    RelKind = 'c'
)

// Relation is a table, view or another thing with columns.
type Relation struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        RelKind
	Columns     []Column // in attnum order, dropped columns left out
	PrimaryKey  []int    // indexes into Columns, in key order; nil when there is none
	ForeignKeys []ForeignKey
	Parents     []uint32 // OIDs of what it inherits from or is a partition of
	Partition   bool     // a partition of its one parent
	Definition  string   // of views: the text that pg_get_viewdef gives
	Guarded     bool     // privileges on single columns or to write alone, row security or rules: who may use some columns may not be able to use another
	Readers     []uint32 // OIDs of roles that were granted SELECT, 0 for PUBLIC
	Reached     []uint32 // those of Readers that were granted USAGE of its schema too, or need not be
}

// Column is a live column of a relation.
type Column struct {
	Name       string
	Num        int16 // pg_attribute.attnum
	Type       Type
	NotNull    bool
	HasDefault bool // a default, an identity or a generation expression
	Generated  bool // GENERATED ALWAYS AS (…) STORED or VIRTUAL
	Identity   byte // pg_attribute.attidentity: 0, 'a' or 'd'
	Loose      bool // its collation takes texts for equal that differ (pg_collation.collisdeterministic is false)
}

// Type is a column's type as declared.
type Type struct {
	OID    uint32
	Schema string
	Name   string // pg_type.typname: "int4", "varchar"
	Mod    int32  // pg_attribute.atttypmod; -1 when there is none
	SQL    string // as format_type spells it, schema-qualified when outside pg_catalog: "character varying(20)"
	Kind   byte   // pg_type.typtype: 'b' base, 'c' composite, 'd' domain, 'e' enum, 'r' range, 'm' multirange
	Elem   uint32 // of true arrays: the element type's OID, else 0
	Base   string // of domains: the name of the type at the bottom ("text"); else Name

	BaseSchema string // of domains: the schema of Base; else ""
}

// ForeignKey is a constraint of the relation that holds it.
type ForeignKey struct {
	Name       string
	Columns    []string
	RefSchema  string
	RefTable   string
	RefColumns []string
	OnDelete   byte // pg_constraint.confdeltype: 'a', 'r', 'c', 'n' or 'd'
}

// Func is one function, procedure, aggregate or window function.
type Func struct {
	OID        uint32
	Schema     string
	Name       string
	MinArgs    int  // without those that have defaults
	MaxArgs    int  // -1 when variadic
	Kind       byte // pg_proc.prokind: 'f', 'p', 'a' or 'w'
	Volatility byte // pg_proc.provolatile: 'i', 's' or 'v'
	ReturnsSet bool
	Returns    uint32   // OID of the result type
	RowType    uint32   // OID of the relation whose row type it returns, else 0
	OutNames   []string // names of OUT, INOUT and TABLE columns, in order; nil when there are none
	Extension  string   // the extension that owns it, else ""
}

// QualifiedName gives the name as a policy spells it: schema.name.
func (r *Relation) QualifiedName() string { return r.Schema + "." + r.Name }

// Column finds a column by name.
func (r *Relation) Column(name string) (*Column, bool) {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return &r.Columns[i], true
		}
	}
	return nil, false
}

// ColumnIndex gives the index of a column in Columns, or -1.
func (r *Relation) ColumnIndex(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Governed tells whether the relation lies outside the system's own schemas,
// so that a policy must classify it before restricted callers may see it.
func (r *Relation) Governed() bool { return !SystemSchema(r.Schema) }

// SystemSchema tells whether PostgreSQL itself owns the schema.
func SystemSchema(name string) bool {
	return name == "pg_catalog" || name == "information_schema" || name == "pg_toast"
}
