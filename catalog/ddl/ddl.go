// Package ddl builds a snapshot from the text of CREATE statements, so that a
// policy can be checked where no server is.
//
//	snapshot, err := ddl.Parse("CREATE TABLE customers (id int PRIMARY KEY, email text)")
//
// Of what it understands it says what a server of the newest supported version
// would say after running the same text, down to the names that PostgreSQL
// makes up itself; only the OIDs of what the text creates are its own. What it
// does not understand is an error, never a guess: a column that a snapshot
// lacks is a column that nobody protects. A closed list of statements that
// change nothing a snapshot holds is passed over (see ignored).
//
// The text may be the output of pg_dump --schema-only, as long as the types of
// its views' columns are plain to see: pg_dump leaves out a cast that changes
// nothing. The role is not known: "$user" in search_path names no schema. Where
// versions differ, as in the names of array types that collide and in the
// identities of partitions, the newest counts.
package ddl

import (
	"fmt"
	"maps"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/builtin"
)

// Parse gives the schema of a new database after sql ran in it. An error
// names the line on which the statement at fault starts.
func Parse(sql string) (*catalog.Snapshot, error) {
	parts, err := parseParts(sql)
	if err != nil {
		return nil, err
	}
	return catalog.New(parts), nil
}

func parseParts(sql string) (catalog.Parts, error) {
	statements, err := parse(sql)
	if err != nil {
		return catalog.Parts{}, err
	}
	b := newBuilder()
	for _, s := range statements {
		if err := b.statement(s.node); err != nil {
			return catalog.Parts{}, fmt.Errorf("line %d: %w", s.line, err)
		}
	}
	return b.parts(), nil
}

// builder is the database as far as the statements so far have made it.
type builder struct {
	system     *catalog.Snapshot // PostgreSQL's own relations and functions
	schemas    map[string]bool
	path       []string // search_path as set
	relations  []*catalog.Relation
	byName     map[catalog.Name]*catalog.Relation
	types      map[catalog.Name]catalog.Type
	typesByOID map[uint32]catalog.Type
	arrays     map[uint32]uint32 // element type → array type
	rowTypes   map[uint32]uint32 // row type → relation
	newTypes   []catalog.Name
	funcs      []routine
	operators  []catalog.Name
	keyNames   map[catalog.Name]bool // constraint names that a new foreign key must avoid
	nextOID    uint32
}

// firstOID is the first that PostgreSQL gives to what users create.
const firstOID = 16384

func newBuilder() *builder {
	b := &builder{
		system:     catalog.New(builtin.Parts()),
		schemas:    map[string]bool{"public": true, "pg_catalog": true, "information_schema": true},
		path:       defaultPath(),
		byName:     map[catalog.Name]*catalog.Relation{},
		types:      map[catalog.Name]catalog.Type{},
		typesByOID: map[uint32]catalog.Type{},
		arrays:     map[uint32]uint32{},
		rowTypes:   map[uint32]uint32{},
		keyNames:   map[catalog.Name]bool{},
		nextOID:    firstOID,
	}
	for _, t := range builtin.Types() {
		b.types[catalog.Name{Schema: t.Schema, Name: t.Name}] = t
		b.typesByOID[t.OID] = t
	}
	for _, t := range builtin.Types() {
		if t.Elem != 0 && t.Name == "_"+b.typesByOID[t.Elem].Name {
			b.arrays[t.Elem] = t.OID
		}
	}
	return b
}

func (b *builder) newOID() uint32 {
	b.nextOID++
	return b.nextOID - 1
}

func (b *builder) parts() catalog.Parts {
	parts := builtin.Parts()
	parts.Schemas = slices.Sorted(maps.Keys(b.schemas))
	for _, r := range b.relations {
		sortForeignKeys(r)
		parts.Relations = append(parts.Relations, *r)
	}
	for _, f := range b.funcs {
		parts.Funcs = append(parts.Funcs, f.Func)
	}
	parts.Types = append(parts.Types, b.newTypes...)
	parts.Operators = append(parts.Operators, b.operators...)
	return parts
}

func (b *builder) statement(n *pg.Node) error {
	switch s := n.GetNode().(type) {
	case *pg.Node_CreateSchemaStmt:
		return b.createSchema(s.CreateSchemaStmt)
	case *pg.Node_VariableSetStmt:
		return b.set(s.VariableSetStmt)
	case *pg.Node_SelectStmt:
		return b.call(s.SelectStmt)
	case *pg.Node_CreateStmt:
		return b.createTable(s.CreateStmt, catalog.Table)
	case *pg.Node_CreateForeignTableStmt:
		return b.createTable(s.CreateForeignTableStmt.GetBaseStmt(), catalog.ForeignTable)
	case *pg.Node_AlterTableStmt:
		return b.alterTable(s.AlterTableStmt)
	case *pg.Node_CreateSeqStmt:
		return b.createSequence(s.CreateSeqStmt)
	case *pg.Node_ViewStmt:
		return b.createView(s.ViewStmt)
	case *pg.Node_CreateTableAsStmt:
		return b.createMaterializedView(s.CreateTableAsStmt)
	case *pg.Node_CreateEnumStmt:
		return b.createEnum(s.CreateEnumStmt)
	case *pg.Node_CompositeTypeStmt:
		return b.createComposite(s.CompositeTypeStmt)
	case *pg.Node_CreateDomainStmt:
		return b.createDomain(s.CreateDomainStmt)
	case *pg.Node_CreateFunctionStmt:
		return b.createFunction(s.CreateFunctionStmt)
	case *pg.Node_DefineStmt:
		return b.define(s.DefineStmt)
	case *pg.Node_CreateExtensionStmt:
		return b.createExtension(s.CreateExtensionStmt)
	case *pg.Node_TransactionStmt:
		return transaction(s.TransactionStmt)
	default:
		return ignored(n)
	}
}

// ignored lets pass what changes nothing that a snapshot holds: rights, rows,
// indexes, comments, and what hangs on a table without being a column of it.
func ignored(n *pg.Node) error {
	switch n.GetNode().(type) {
	case *pg.Node_AlterDefaultPrivilegesStmt, *pg.Node_AlterOwnerStmt, *pg.Node_CreateRoleStmt,
		*pg.Node_AlterRoleStmt, *pg.Node_GrantRoleStmt, *pg.Node_GrantStmt, *pg.Node_SecLabelStmt,
		*pg.Node_CommentStmt, *pg.Node_CreatePolicyStmt,
		*pg.Node_IndexStmt, *pg.Node_CreateStatsStmt, *pg.Node_CreateTrigStmt,
		*pg.Node_AlterEnumStmt, *pg.Node_AlterSeqStmt,
		*pg.Node_CreateFdwStmt, *pg.Node_CreateForeignServerStmt, *pg.Node_CreateUserMappingStmt,
		*pg.Node_CreatePublicationStmt,
		*pg.Node_InsertStmt, *pg.Node_RefreshMatViewStmt, *pg.Node_VacuumStmt:
		return nil
	default:
		return fmt.Errorf("%s is not supported", describe(n))
	}
}

// transaction lets a script be one transaction, as long as all of it counts.
func transaction(s *pg.TransactionStmt) error {
	switch s.GetKind() {
	case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START,
		pg.TransactionStmtKind_TRANS_STMT_COMMIT:
		return nil
	default:
		return fmt.Errorf("undoing a transaction is not supported")
	}
}
