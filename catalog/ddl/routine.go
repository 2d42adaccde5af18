package ddl

import (
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// routine is a function with the types that tell it from others of its name.
type routine struct {
	catalog.Func
	args []uint32
}

func (b *builder) createFunction(s *pg.CreateFunctionStmt) error {
	at, err := b.placeName(s.GetFuncname())
	if err != nil {
		return err
	}
	f := routine{Func: catalog.Func{Schema: at.Schema, Name: at.Name, Kind: 'f', Volatility: 'v'}}
	if s.GetIsProcedure() {
		f.Kind = 'p'
	}
	out, err := b.parameters(&f, s.GetParameters())
	if err != nil {
		return err
	}
	result, err := b.result(s, out)
	if err != nil {
		return err
	}
	f.Returns, f.ReturnsSet = result.OID, s.GetReturnType().GetSetof()
	f.RowType = b.rowOf(result)
	for _, n := range s.GetOptions() {
		if err := option(&f.Func, n.GetDefElem()); err != nil {
			return err
		}
	}
	return b.addRoutine(f, s.GetReplace())
}

// parameters counts a function's arguments and gives the types of its results
// among them.
func (b *builder) parameters(f *routine, nodes []*pg.Node) (out []catalog.Type, err error) {
	defaults := 0
	for _, n := range nodes {
		p := n.GetFunctionParameter()
		t, err := b.resolveType(p.GetArgType())
		if err != nil {
			return nil, err
		}
		mode := p.GetMode()
		switch mode {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_TABLE:
		case pg.FunctionParameterMode_FUNC_PARAM_IN, pg.FunctionParameterMode_FUNC_PARAM_DEFAULT,
			pg.FunctionParameterMode_FUNC_PARAM_INOUT, pg.FunctionParameterMode_FUNC_PARAM_VARIADIC:
			f.args = append(f.args, t.OID)
		default:
			return nil, fmt.Errorf("argument mode %s is not supported", mode)
		}
		switch mode {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_INOUT,
			pg.FunctionParameterMode_FUNC_PARAM_TABLE:
			f.OutNames = append(f.OutNames, p.GetName())
			out = append(out, t)
		case pg.FunctionParameterMode_FUNC_PARAM_VARIADIC:
			f.MaxArgs = -1
		}
		if p.GetDefexpr() != nil {
			defaults++
		}
	}
	f.MinArgs = len(f.args) - defaults
	if f.MaxArgs == 0 {
		f.MaxArgs = len(f.args)
	}
	return out, nil
}

// result is the type in RETURNS or, without it, what the OUT arguments make.
func (b *builder) result(s *pg.CreateFunctionStmt, out []catalog.Type) (catalog.Type, error) {
	switch {
	case s.GetReturnType() != nil:
		return b.resolveType(s.GetReturnType())
	case s.GetIsProcedure() && len(out) == 0:
		return b.systemType("void"), nil
	case s.GetIsProcedure(), len(out) > 1:
		return b.systemType("record"), nil
	case len(out) == 1:
		return out[0], nil
	default:
		return catalog.Type{}, fmt.Errorf("function %s has no result type", dotted(s.GetFuncname()))
	}
}

// rowOf gives the relation that a type is the row of, if it has rows.
func (b *builder) rowOf(t catalog.Type) uint32 {
	if t.Kind != 'c' {
		return 0
	}
	r := b.byOID(b.rowTypes[t.OID])
	if r == nil {
		r, _ = b.system.Relation(nil, t.Schema, t.Name)
	}
	if r == nil || r.Kind == catalog.CompositeType {
		return 0
	}
	return r.OID
}

// option takes from a function's options what a snapshot holds.
func option(f *catalog.Func, o *pg.DefElem) error {
	switch o.GetDefname() {
	case "volatility":
		switch o.GetArg().GetString_().GetSval() {
		case "immutable":
			f.Volatility = 'i'
		case "stable":
			f.Volatility = 's'
		case "volatile":
			f.Volatility = 'v'
		default:
			return fmt.Errorf("unknown volatility of function %s", f.Name)
		}
	case "window":
		if o.GetArg().GetBoolean().GetBoolval() {
			f.Kind = 'w'
		}
	}
	return nil
}

func (b *builder) addRoutine(f routine, replace bool) error {
	i := slices.IndexFunc(b.funcs, func(has routine) bool {
		return has.Schema == f.Schema && has.Name == f.Name && slices.Equal(has.args, f.args)
	})
	switch {
	case i < 0:
		f.OID = b.newOID()
		b.funcs = append(b.funcs, f)
	case replace:
		f.OID = b.funcs[i].OID
		b.funcs[i] = f
	default:
		return fmt.Errorf("function %s.%s already exists with the same arguments", f.Schema, f.Name)
	}
	return nil
}

// define serves the CREATE of what has no statement of its own.
func (b *builder) define(s *pg.DefineStmt) error {
	switch s.GetKind() {
	case pg.ObjectType_OBJECT_OPERATOR:
		at, err := b.placeName(s.GetDefnames())
		if err != nil {
			return err
		}
		if !slices.Contains(b.operators, at) {
			b.operators = append(b.operators, at)
		}
		return nil
	case pg.ObjectType_OBJECT_COLLATION,
		pg.ObjectType_OBJECT_TSCONFIGURATION, pg.ObjectType_OBJECT_TSDICTIONARY:
		return nil
	default:
		return fmt.Errorf("CREATE %s is not supported", objectKind(s.GetKind()))
	}
}

// createExtension makes the types that columns are declared with. Of an
// extension's functions and views a snapshot from text knows nothing, so that
// a statement that uses them meets an unknown name.
func (b *builder) createExtension(s *pg.CreateExtensionStmt) error {
	schema := ""
	for _, o := range s.GetOptions() {
		if o.GetDefElem().GetDefname() == "schema" {
			schema = o.GetDefElem().GetArg().GetString_().GetSval()
		}
	}
	types, known := extensionTypes(s.GetExtname())
	if !known {
		return fmt.Errorf("extension %q is not supported", s.GetExtname())
	}
	for _, name := range types {
		at, err := b.placement(schema, name)
		if err != nil {
			return err
		}
		if _, has := b.types[at]; has && s.GetIfNotExists() {
			continue
		}
		if _, err := b.addType(at, 'b', catalog.Name{}); err != nil {
			return err
		}
	}
	return nil
}

func extensionTypes(name string) (types []string, known bool) {
	switch name {
	case "btree_gin", "btree_gist", "fuzzystrmatch", "pg_stat_statements", "pgcrypto", "plpgsql",
		"tablefunc", "unaccent", "uuid-ossp":
		return nil, true
	case "citext":
		return []string{"citext"}, true
	case "hstore":
		return []string{"hstore", "ghstore"}, true
	case "ltree":
		return []string{"ltree", "ltree_gist", "lquery", "ltxtquery"}, true
	case "pg_trgm":
		return []string{"gtrgm"}, true
	default:
		return nil, false
	}
}
