package rewrite

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// planner plans one statement of a text.
type planner struct {
	stages  []stage // of a query
	engine  *Engine
	session Session
	plan    *Plan
	changed bool   // the statement's tree is not what the client sent
	effects Effect // of functions that it calls

	top    bool // the query is the statement itself
	keeps  bool // its rows are kept in a table
	unsent bool // its rows do not come: it is explained
	later  bool // it runs later, under a name, with parameters that are not seen

	shaken   bool // search_path may be another than the session's
	reshaped bool // sealed columns may have names that the catalog does not know

	naming *Naming
	added  []added // columns that name subjects

	hides bool // something of a relation is hidden
	leaky bool // some predicate could raise an error or have an effect that depends on a row it looks at
	slots map[*pg_query.ColumnRef]slot
}

// statement decides one statement. It knows every kind that a caller with
// restrictions may send, and refuses the rest.
func (c *planner) statement(n *pg_query.Node) (*pg_query.Node, error) {
	command := commandName(n)
	if into := selectInto(n); into != nil {
		n = &pg_query.Node{Node: &pg_query.Node_CreateTableAsStmt{CreateTableAsStmt: into}}
	}
	switch v := n.Node.(type) {
	case *pg_query.Node_CreateStmt:
		return n, c.createTable(v.CreateStmt)
	case *pg_query.Node_CreateTableAsStmt:
		return n, c.createTableAs(v.CreateTableAsStmt)
	case *pg_query.Node_DropStmt:
		return n, c.dropTemporary(v.DropStmt)
	case *pg_query.Node_TruncateStmt:
		return n, c.truncateTemporary(v.TruncateStmt)
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_MergeStmt:
		c.top = true
		effect, cursor, err := c.topQuery(n)
		c.step(command, effect, cursor)
		return n, err
	case *pg_query.Node_ExplainStmt:
		return n, c.explain(v.ExplainStmt)
	case *pg_query.Node_DeclareCursorStmt:
		effect, err := c.query(v.DeclareCursorStmt.Query)
		c.step(command, effect|Declares, v.DeclareCursorStmt.Portalname)
		if err != nil {
			return n, err
		}
		return n, c.deferredSettings(command)
	case *pg_query.Node_PrepareStmt:
		return n, c.prepare(v.PrepareStmt)
	case *pg_query.Node_CopyStmt:
		return n, c.copy(v.CopyStmt)
	case *pg_query.Node_LockStmt:
		c.step("LOCK TABLE", 0, "")
		return n, c.lock(v.LockStmt)
	case *pg_query.Node_ExecuteStmt:
		effect, err := c.execute(v.ExecuteStmt)
		if err == nil {
			c.engine.executes(c.session, v.ExecuteStmt, c.plan)
			c.step(command, effect, v.ExecuteStmt.Name)
		}
		return n, err
	case *pg_query.Node_DeallocateStmt:
		c.step(command, Forgets, v.DeallocateStmt.Name)
	case *pg_query.Node_FetchStmt:
		c.step(command, Fetches, v.FetchStmt.Portalname)
	case *pg_query.Node_ClosePortalStmt:
		c.step(command, 0, v.ClosePortalStmt.Portalname)
	case *pg_query.Node_TransactionStmt:
		return n, c.transaction(v.TransactionStmt)
	case *pg_query.Node_VariableSetStmt:
		return n, c.set(v.VariableSetStmt)
	case *pg_query.Node_VariableShowStmt:
		c.step(command, 0, "")
		return n, readableSetting(v.VariableShowStmt.Name)
	case *pg_query.Node_DiscardStmt:
		c.step(command, discardEffect(v.DiscardStmt), "")
	case *pg_query.Node_ConstraintsSetStmt:
		c.plan.Governed = true // deferred checks and triggers run, and say what they find
		c.step(command, Writes, "")
	case *pg_query.Node_ListenStmt, *pg_query.Node_UnlistenStmt, *pg_query.Node_NotifyStmt:
		c.step(command, 0, "")
	default:
		return nil, refuseUnsupported("only a role with unrestricted access may", "%s is not open to callers with restrictions", command)
	}
	return n, nil
}

// topQuery decides a query that is a statement by itself. One that writes a
// cursor's current row rests on what the cursor shows, so it fetches from it.
func (c *planner) topQuery(n *pg_query.Node) (effect Effect, cursor string, err error) {
	effect, err = c.query(n)
	if of := currentOf(n); of != nil {
		effect, cursor = effect|Fetches, of.CursorName
	}
	return effect, cursor, err
}

// currentOf gives the WHERE CURRENT OF of a statement, nil when it has none.
func currentOf(n *pg_query.Node) *pg_query.CurrentOfExpr {
	if up := n.GetUpdateStmt(); up != nil {
		return up.WhereClause.GetCurrentOfExpr()
	}
	return n.GetDeleteStmt().GetWhereClause().GetCurrentOfExpr()
}

func (c *planner) step(command string, effect Effect, name string) {
	c.plan.Steps = append(c.plan.Steps, Step{Command: command, Effect: effect, Name: name})
}

func (c *planner) prepare(p *pg_query.PrepareStmt) error {
	if queryOf(p.Query) != p.Query {
		return refuseUnsupported("prepare a query", "PREPARE of %s is not open to callers with restrictions", commandName(p.Query))
	}
	if currentOf(p.Query) != nil {
		return refuseUnsupported("send it as it is", "PREPARE of WHERE CURRENT OF is not open to callers with restrictions")
	}
	c.session.Parameters, c.later = declaredTypes(p.Argtypes), true
	effect, err := c.query(p.Query)
	c.step("PREPARE", effect|Prepares, p.Name)
	if err != nil {
		return err
	}
	return c.deferredSettings("PREPARE")
}

// declaredTypes tells what PREPARE says of its parameters.
func declaredTypes(types []*pg_query.Node) resolve.Parameters {
	known := resolve.ParametersInferred
	for _, n := range types {
		names := n.GetTypeName().GetNames()
		name := names[len(names)-1].GetString_().GetSval()
		if !resolve.PlainType(name) || len(names) > 1 && names[0].GetString_().GetSval() != "pg_catalog" {
			return resolve.ParametersOdd
		}
		known = resolve.ParametersPlain
	}
	return known
}

// deferredSettings refuses set_config in what runs later, under a name.
func (c *planner) deferredSettings(command string) error {
	if c.effects&Settings == 0 {
		return nil
	}
	return refuseUnsupported("use SET", "set_config in %s is not open to callers with restrictions", command)
}

// execute lets EXECUTE through as it is: its parameters may be expressions
// without relations only.
func (c *planner) execute(x *pg_query.ExecuteStmt) (effect Effect, err error) {
	for i, p := range x.Params {
		value, more, err := c.expression(p)
		if err != nil {
			return 0, err
		}
		x.Params[i], effect = value, effect|more
	}
	c.changed = true
	return effect | Executes, nil
}

// expression decides an expression that stands outside a query.
func (c *planner) expression(n *pg_query.Node) (*pg_query.Node, Effect, error) {
	target := pg_query.MakeResTargetNodeWithVal(n, -1)
	sel := &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{target},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		Op:          pg_query.SetOperation_SETOP_NONE,
	}
	effect, err := c.query(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}})
	return target.GetResTarget().Val, effect, err
}

func (c *planner) transaction(t *pg_query.TransactionStmt) error {
	var effect Effect
	switch t.Kind {
	case pg_query.TransactionStmtKind_TRANS_STMT_BEGIN, pg_query.TransactionStmtKind_TRANS_STMT_START:
		effect = Begins
	case pg_query.TransactionStmtKind_TRANS_STMT_COMMIT, pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK,
		pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		effect = Ends
	case pg_query.TransactionStmtKind_TRANS_STMT_SAVEPOINT, pg_query.TransactionStmtKind_TRANS_STMT_RELEASE:
	default:
		return refuseUnsupported("use an ordinary transaction", "two-phase commit is not open to callers with restrictions")
	}
	c.step(transactionName(t.Kind), effect, "")
	return nil
}

// lock decides LOCK TABLE: whoever may write a table may lock it.
func (c *planner) lock(l *pg_query.LockStmt) error {
	for _, n := range l.Relations {
		rv := n.GetRangeVar()
		rel, err := resolve.Relation(c.input(), rv)
		if err != nil {
			return err
		}
		if !rel.Governed() || !c.mayLock(rel) {
			return refuseRelation("lock", rel.QualifiedName(), "")
		}
		rv.Schemaname, rv.Catalogname, rv.Relname = rel.Schema, "", rel.Name
	}
	c.changed = true
	return nil
}

func (c *planner) mayLock(rel *catalog.Relation) bool {
	ops := c.session.Access.Relation(rel).Ops
	return isTemporary(rel) || ops.Has(policy.Insert) || ops.Has(policy.Update) || ops.Has(policy.Delete)
}

func discardEffect(d *pg_query.DiscardStmt) Effect {
	switch d.Target {
	case pg_query.DiscardMode_DISCARD_ALL:
		return Resets | Settings | Forgets
	case pg_query.DiscardMode_DISCARD_TEMP:
		return Settings
	default:
		return 0
	}
}

// after gives the session that the rest of a text meets once a statement has
// run. Where that cannot be known beforehand, the text is refused.
func (e *Engine) after(s Session, n *pg_query.Node, step Step) (Session, error) {
	if step.Effect&(Settings|Resets) == 0 {
		return s, nil
	}
	set := n.GetVariableSetStmt()
	if set == nil || set.Kind != pg_query.VariableSetKind_VAR_SET_VALUE {
		return s, refuseSeparately(step)
	}
	values, ok := constants(set.Args)
	switch {
	case !ok:
		return s, refuseSeparately(step)
	case set.Name == "search_path":
		s.Path = e.path(s, values)
		return s, nil
	case set.Name == PurposeSetting && len(values) == 1:
		claim := s.Access.Claim
		claim.Purpose = values[0]
		access, err := e.Policy.Decide(claim)
		if err != nil {
			return s, RefuseAccess(err)
		}
		if (access.Unrestricted || access.Observe) && !s.Access.Unrestricted && !s.Access.Observe {
			return s, refuseSeparately(step) // whether the session may become so is not known here
		}
		s.Access = access
		return s, nil
	default:
		return s, refuseSeparately(step)
	}
}

func refuseSeparately(step Step) error {
	return refuseUnsupported("send the statements one by one",
		"what follows %s in the same text depends on it in a way that cannot be known beforehand", step.Command)
}

// path gives the effective search path for a list of schema names, as
// current_schemas(true) would.
func (e *Engine) path(s Session, names []string) []string {
	var path []string
	explicit := false
	for _, name := range names {
		if name == "$user" {
			name = s.Access.Login
		}
		explicit = explicit || name == "pg_catalog"
		if name == "pg_catalog" || e.Catalog.HasSchema(name) {
			path = append(path, name)
		}
	}
	if !explicit {
		path = append([]string{"pg_catalog"}, path...)
	}
	return path
}

// finish gives the text of a statement whose tree was changed, once it is
// certain that the text says what was decided.
func (c *planner) finish(n *pg_query.Node) (string, error) {
	spellable(n)
	sql, err := parse.Write(n)
	if err != nil {
		return "", fmt.Errorf("rewrite: internal error: %w", err)
	}
	places, err := c.verify(sql, n)
	if err != nil {
		return "", err
	}
	sql = spell(sql, places)
	return sql, c.verifySealed(sql)
}

// spellable changes what the deparser does not spell as it stands into what
// means the same: 't'::bool and 'f'::bool, and an element of ARRAY(SELECT …).
func spellable(n *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.Node:
			if value, ok := booleanCast(v.GetTypeCast()); ok {
				v.Node = makeBool(value).Node
			}
		case *pg_query.A_Indirection:
			if v.Arg.GetSubLink().GetSubLinkType() == pg_query.SubLinkType_ARRAY_SUBLINK {
				v.Arg = scalarSelect(v.Arg)
			}
		}
		return true
	})
}

// booleanCast gives the value of 't'::bool and 'f'::bool.
func booleanCast(tc *pg_query.TypeCast) (value, ok bool) {
	names := tc.GetTypeName().GetNames()
	text := tc.GetArg().GetAConst().GetSval().GetSval()
	if len(names) != 2 || names[0].GetString_().GetSval() != "pg_catalog" || names[1].GetString_().GetSval() != "bool" {
		return false, false
	}
	return text == "t", len(tc.TypeName.ArrayBounds) == 0 && (text == "t" || text == "f")
}

// scalarSelect gives (SELECT expression).
func scalarSelect(n *pg_query.Node) *pg_query.Node {
	sel := &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(n, -1)},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		Op:          pg_query.SetOperation_SETOP_NONE,
	}
	return &pg_query.Node{Node: &pg_query.Node_SubLink{SubLink: &pg_query.SubLink{
		SubLinkType: pg_query.SubLinkType_EXPR_SUBLINK,
		Subselect:   &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}},
	}}}
}
