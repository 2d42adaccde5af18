package rewrite

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Values of sealed columns are ciphertext on the server. This file and those
// beside it (seal_*.go) follow them through a statement: which of its constants
// and parameters have to be sealed before it is sent, and which columns of its
// rows hold sealed values, to be opened on their way to the client. A sealed
// value may be handed through whatever passes it on as it is, and compared for
// equality where its column allows that. Whatever else is done to one would be
// done to the ciphertext: it is refused, whoever asks.

// Seals says what of a plan's text and rows is sealed. It is about every caller,
// those without restrictions included.
type Seals struct {
	Holes   []Hole      // places of the text to send, from left to right
	Params  []Parameter // what the parameters of the text to send are made of; nil: the client's, as they are
	Outputs [][]Opened  // by step, the columns of its rows that hold sealed values
	Copies  []*Copied   // by step, what is known of the data of a COPY

	marked map[string]hole // by what stands for them in the text, while it is planned
}

// Hole is a place of a text where a value stands, once it is sealed.
type Hole struct {
	At, End int // bytes of Plan.SQL that stand there until then
	Value   string
	For     *policy.Sealed
	Find    bool // it is looked for in the blind column
	Forms   bool // it is looked for in every form that it may have: literals, with commas between them
	Row     *Row // that it is bound to; nil: none
}

// Parameter is one parameter of the text to send.
type Parameter struct {
	Client int            // the number, from 1, of the client's parameter that it is made of
	For    *policy.Sealed // nil: it is that as it is
	Find   bool           // it is looked for in the blind column
	Array  bool           // of values
	Null   string         // a type: the server learns only whether the client's, of that type, is NULL
	Forms  bool           // it is looked for: the server gets an array of every form that it, or one of its values, may have
	Row    *Row           // that it is bound to; nil: none
}

// Opened is a column of rows that holds sealed values.
type Opened struct {
	Column int              // from 0
	As     []*policy.Sealed // columns that its values can be from, all of one type
	Show   policy.Treatment // clear or masked
}

// OutputsOf gives the columns of a statement's rows that hold sealed values.
func (s *Seals) OutputsOf(step int) []Opened {
	if s == nil || step >= len(s.Outputs) {
		return nil
	}
	return s.Outputs[step]
}

// CopyOf gives what is known of the data of a COPY whose columns are sealed; nil
// where none is.
func (s *Seals) CopyOf(step int) *Copied {
	if s == nil || step >= len(s.Copies) {
		return nil
	}
	return s.Copies[step]
}

// like tells whether two plans of one form seal and open alike, but for the values.
func (s *Seals) like(t *Seals) bool {
	if s == nil || t == nil {
		return s == t
	}
	opened := func(a, b Opened) bool {
		return a.Column == b.Column && slices.Equal(a.As, b.As) && a.Show.Shown() == b.Show.Shown()
	}
	return len(s.Holes) == len(t.Holes) && slices.Equal(s.Params, t.Params) && len(s.Copies)+len(t.Copies) == 0 &&
		slices.EqualFunc(s.Outputs, t.Outputs, func(a, b []Opened) bool { return slices.EqualFunc(a, b, opened) })
}

// Copied is a COPY of sealed columns.
type Copied struct {
	Data  *Data
	Taken []*policy.Sealed // of COPY FROM: by column, how it is sealed; nil for one that is not
	Key   []int            // of COPY FROM: the columns of the primary key, where values are bound to that
}

// Written says how the data is written; nil where there is none.
func (c *Copied) Written() *Data {
	if c == nil {
		return nil
	}
	return c.Data
}

// copies notes a COPY.
func (s *Seals) copies(step int, c *Copied) {
	for len(s.Copies) <= step {
		s.Copies = append(s.Copies, nil)
	}
	s.Copies[step] = c
}

// unreadOptions are those of COPY under which its data is read in a way that is not
// followed.
var unreadOptions = []string{"force_null", "force_not_null", "encoding", "force_array"}

// copyData reads the options of a COPY of sealed columns.
func copyData(cp *pg_query.CopyStmt) (*Data, error) {
	for _, n := range cp.Options {
		if name := n.GetDefElem().GetDefname(); slices.Contains(unreadOptions, name) {
			return nil, refuseUnsupported("leave the option out", "COPY with %s cannot be followed while it is of sealed columns", strings.ToUpper(name))
		}
	}
	return dataOf(cp), nil
}

// Seals tells whether there are sealed columns at all.
func (e *Engine) Seals() bool { return e.seals != nil }

// sealing is what an engine knows of sealed columns.
type sealing struct {
	columns map[*catalog.Relation][]*sealedColumn // by column; views and what holds none have none until asked for
	names   map[string]bool                       // of relations that have such columns
	broken  map[*catalog.Relation]error           // views that do to sealed values what cannot be done
	whole   sync.Map                              // *catalog.Relation → *template of what nobody hides of it
	mark    string                                // begins what stands for a value to be sealed while a text is planned
}

// sealedColumn is a column that holds sealed values: of a view, those of a
// column under it.
type sealedColumn struct {
	*policy.Sealed
	relation *catalog.Relation
	index    int
}

// newSealing finds the sealed columns of a catalog; nil when there are none.
func newSealing(cat *catalog.Snapshot, set *policy.Set) *sealing {
	s := &sealing{columns: map[*catalog.Relation][]*sealedColumn{}, names: map[string]bool{}, broken: map[*catalog.Relation]error{}, mark: "pgveil sealed " + rand.Text() + " "}
	for _, rel := range cat.Relations() {
		if !rel.Governed() || derives(rel) {
			continue
		}
		for i, c := range rel.Columns {
			if of := set.Sealed(rel, c.Name); of != nil {
				s.note(rel, i, &sealedColumn{of, rel, i})
			}
		}
	}
	if len(s.names) == 0 {
		return nil
	}
	for range maxViewsDeep {
		if !s.through(cat) {
			break
		}
	}
	return s
}

// maxViewsDeep bounds how deep views stand on views, as resolve does.
const maxViewsDeep = 32

func (s *sealing) note(rel *catalog.Relation, i int, of *sealedColumn) {
	if s.columns[rel] == nil {
		s.columns[rel] = make([]*sealedColumn, len(rel.Columns))
	}
	s.columns[rel][i] = of
	s.names[rel.Name] = true
}

// through finds the columns of views that hand sealed ones through, one view
// further than before. It tells whether there were any.
func (s *sealing) through(cat *catalog.Snapshot) (more bool) {
	for _, rel := range cat.Relations() {
		if !derives(rel) || !rel.Governed() || s.columns[rel] != nil {
			continue
		}
		node, err := parse.ParseOne(rel.Definition)
		if err != nil {
			continue
		}
		q, err := resolve.Resolve(resolve.Input{Catalog: cat, Path: []string{"pg_catalog"}}, node)
		if err != nil {
			continue
		}
		for i, c := range q.Returns {
			for _, b := range c.From {
				if of := s.columns[b.Ref.Relation]; of != nil && of[b.Column] != nil && i < len(rel.Columns) {
					s.note(rel, i, of[b.Column])
					more = true
				}
			}
		}
	}
	return more
}

// of gives how a column of a relation is sealed; nil when it is not.
func (s *sealing) of(b resolve.Base) *sealedColumn { return s.column(b.Ref.Relation, b.Column) }

func (s *sealing) column(rel *catalog.Relation, i int) *sealedColumn {
	if s == nil || s.columns[rel] == nil {
		return nil
	}
	return s.columns[rel][i]
}

// holds tells whether a use is of a sealed column.
func (s *sealing) holds(u resolve.Use) bool {
	return s != nil && s.of(resolve.Base{Ref: u.Ref, Column: u.Column}) != nil
}

// touches tells whether a query reaches sealed columns.
func (s *sealing) touches(q *resolve.Query) bool {
	return slices.ContainsFunc(q.Refs, func(r *resolve.Ref) bool { return s.columns[r.Relation] != nil || s.broken[r.Relation] != nil })
}

// sealRest seals the text of a caller who is otherwise not restricted. A text
// that is not understood may do to a sealed column what nobody may.
func (e *Engine) sealRest(s Session, sql string, p *Plan) error {
	if e.seals == nil || s.Foreign {
		return nil
	}
	stmts, err := parse.Parse(sql)
	if err != nil {
		return e.refuseUnread(sql, asRefusal(err, sql))
	}
	texts := make([]string, len(stmts))
	s.Path = e.guessPath(s)
	const shakes = Settings | Ends | Executes
	shaken, reshaped := false, s.Reshaped
	for i := range min(len(stmts), len(p.Steps)) {
		p.Steps[i].note(stmts[i].Node)
	}
	for i, st := range stmts {
		c := &planner{engine: e, session: s, plan: p, shaken: shaken, reshaped: reshaped}
		texts[i] = st.Text
		if into := selectInto(st.Node); into != nil {
			st.Node = &pg_query.Node{Node: &pg_query.Node_CreateTableAsStmt{CreateTableAsStmt: into}}
		}
		if err := c.sealStatement(st.Node, i); err != nil {
			return asRefusal(err, sql)
		}
		s.Altered = append(slices.Clip(s.Altered), c.alters(st.Node)...)
		if i < len(p.Steps) {
			shaken = shaken || p.Steps[i].Effect&shakes != 0
			reshaped = reshaped || p.Steps[i].Effect&Reshapes != 0
		}
		if !c.changed {
			continue
		}
		if texts[i], err = c.writeSealed(st.Node); err != nil {
			return err
		}
		p.Changed = true
	}
	if p.Changed {
		p.SQL = strings.Join(texts, "; ")
	}
	p.cutHoles()
	return nil
}

// judgeViews finds the views that do to sealed values what cannot be done. They
// would show what is made of ciphertext.
func (e *Engine) judgeViews() {
	if e.seals == nil {
		return
	}
	all := &policy.Access{Unrestricted: true}
	for _, rel := range e.Catalog.Relations() {
		if !derives(rel) || !rel.Governed() {
			continue
		}
		node, err := parse.ParseOne(rel.Definition)
		var q *resolve.Query
		if err == nil {
			q, err = resolve.Resolve(resolve.Input{Catalog: e.Catalog, Path: []string{"pg_catalog"}}, node)
		}
		if err != nil && e.seals.namedIn(rel.Definition) {
			e.seals.broken[rel] = refuseUnsupported("take what is odd out of the view", "the view cannot be followed")
			e.seals.names[rel.Name] = true
		}
		if err != nil || !e.seals.touches(q) {
			continue
		}
		c := &planner{engine: e, session: Session{Access: all, Path: []string{"pg_catalog"}}, plan: &Plan{}}
		if f, err := c.follow(node, q, 0); err != nil {
			e.seals.broken[rel] = err
		} else if len(f.holes) > 0 {
			e.seals.broken[rel] = refuseUnsupported("take the condition out of the view", "the view compares a sealed column with a constant")
		}
		if e.seals.broken[rel] != nil {
			e.seals.names[rel.Name] = true
		}
	}
}

// note notes what a statement of a caller without restrictions does to names and
// to settings, on which rests what becomes of the next.
func (s *Step) note(n *pg_query.Node) {
	switch v := n.Node.(type) {
	case *pg_query.Node_DeclareCursorStmt:
		s.Effect, s.Name = s.Effect|Declares, v.DeclareCursorStmt.Portalname
	case *pg_query.Node_FetchStmt:
		s.Effect, s.Name = s.Effect|Fetches, v.FetchStmt.Portalname
	case *pg_query.Node_PrepareStmt:
		s.Effect, s.Name = s.Effect|Prepares, v.PrepareStmt.Name
	case *pg_query.Node_ExecuteStmt:
		s.Effect, s.Name = s.Effect|Executes, v.ExecuteStmt.Name
	case *pg_query.Node_DeallocateStmt:
		s.Effect, s.Name = s.Effect|Forgets, v.DeallocateStmt.Name
	case *pg_query.Node_DiscardStmt:
		s.Effect |= discardEffect(v.DiscardStmt)
	case *pg_query.Node_VariableSetStmt, *pg_query.Node_DoStmt, *pg_query.Node_CallStmt:
		s.Effect |= Settings
	case *pg_query.Node_TransactionStmt:
		if k := v.TransactionStmt.Kind; k == pg_query.TransactionStmtKind_TRANS_STMT_BEGIN || k == pg_query.TransactionStmtKind_TRANS_STMT_START {
			s.Effect |= Begins
		} else {
			s.Effect |= Ends
		}
	default:
		if callsUnknown(n) {
			s.Effect |= Settings
		}
	}
}

// callsUnknown tells whether a statement calls what may change settings.
func callsUnknown(n *pg_query.Node) (found bool) {
	parse.Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok {
			name := f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
			found = found || name == "set_config" || !slices.Contains(harmlessFunctions, name)
		}
		return !found
	})
	return found
}

// harmlessFunctions are names of PostgreSQL's own functions that statements call
// most. Another function may set search_path: the server is asked before the next
// statement.
var harmlessFunctions = strings.Fields(`count sum avg min max now coalesce lower upper length substring nextval currval lastval row_number rank
	array_agg json_agg jsonb_agg string_agg to_char date_trunc extract round abs concat trim btrim replace version pg_sleep current_schema current_setting`)

// refuseUnread refuses a text that cannot be read and may be about sealed
// columns.
func (e *Engine) refuseUnread(sql string, err error) error {
	if e.seals.namedIn(sql) {
		return err
	}
	return nil
}

// namedIn tells whether a text has the name of a relation with sealed columns in it.
func (s *sealing) namedIn(text string) bool { return s.nameIn(text) != "" }

func (s *sealing) nameIn(text string) string {
	text = strings.ToLower(text)
	for name := range s.names {
		if strings.Contains(text, strings.ToLower(name)) {
			return name
		}
	}
	return ""
}

// sealStatement follows sealed values through one statement of a caller without
// restrictions.
func (c *planner) sealStatement(n *pg_query.Node, step int) error {
	if name := runsText(n); name != "" {
		return refuseUnsupported("run the query itself", "%s cannot be used where columns are sealed: nobody opens what it gives", name)
	}
	what := n
	if x := n.GetExplainStmt(); x != nil {
		if into := selectInto(x.Query); into != nil {
			x.Query = &pg_query.Node{Node: &pg_query.Node_CreateTableAsStmt{CreateTableAsStmt: into}}
		}
		what = x.Query
	}
	query := queryOf(what)
	switch v := what.Node.(type) {
	case *pg_query.Node_CopyStmt:
		if v.CopyStmt.Relation != nil && !c.asQuery(v.CopyStmt) {
			return c.sealCopy(v.CopyStmt, step)
		}
		query = v.CopyStmt.Query
	case *pg_query.Node_CreateTableAsStmt:
		query = v.CreateTableAsStmt.Query
		c.keeps = true
		if query.GetExecuteStmt() != nil {
			return refuseUnsupported("write the query", "CREATE TABLE AS EXECUTE cannot be followed where columns are sealed")
		}
	case *pg_query.Node_DoStmt:
		return c.sealUnseen(n, "DO")
	}
	if query == nil {
		return c.sealSchema(n, step)
	}
	if queryOf(query) != query {
		return nil
	}
	q, err := c.engine.guess(c.asked(), query, nil)
	if err != nil {
		return c.sealUnseen(n, "what cannot be followed")
	}
	for _, ref := range q.Refs {
		if err := c.isAltered(ref.Relation); err != nil {
			return err
		}
	}
	if !c.engine.seals.touches(q) {
		return nil
	}
	c.unsent = what != n
	c.later = n.GetPrepareStmt() != nil
	f, err := c.follow(query, q, step)
	if err != nil {
		return err
	}
	if cp := n.GetCopyStmt(); cp != nil && c.plan.Seals.OutputsOf(step) != nil {
		if err := c.copiesOut(cp, step); err != nil {
			return err
		}
	}
	if err := f.fill(query); err != nil {
		return err
	}
	return f.readsRows(query)
}

// sealUnseen refuses a statement that may be about sealed columns and is not
// followed.
func (c *planner) sealUnseen(n *pg_query.Node, what string) error {
	if name := c.engine.seals.nameIn(n.String()); name != "" {
		return refuseUnsupported("say it in a plain statement", "%s cannot be sent while it names %s, which has sealed columns", what, name)
	}
	c.plan.Unfollowed = true
	if c.reshaped && (queryOf(n) != nil || n.GetCopyStmt() != nil) {
		return refuseUnsupported("end the transaction first, so that the schema can be read again", "%s cannot be sent: what it names may have sealed columns since the schema was changed", what)
	}
	return nil
}

// asked gives the session as it is when the statement runs: where one before it may
// have changed search_path, a bare name is followed only if it is one relation's.
func (c *planner) asked() Session {
	s := c.session
	if c.shaken {
		s.Path = nil
	}
	return s
}

// runsText gives the name of a function in a statement that runs a query of which it
// gets the text or the name of a table; "" where there is none.
func runsText(n *pg_query.Node) (name string) {
	parse.Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok {
			if called := f.Funcname[len(f.Funcname)-1].GetString_().GetSval(); slices.Contains(textRunners, called) {
				name = called
			}
		}
		return name == ""
	})
	return name
}

// textRunners are the functions of PostgreSQL that run a query which a text, or the
// name of a table, a schema or a cursor, tells them.
var textRunners = strings.Fields(`query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
	table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema
	database_to_xml database_to_xmlschema database_to_xml_and_xmlschema ts_stat ts_rewrite`)

// writeSealed gives the text of a statement in which marks stand for what is to
// be sealed, once it is certain that it says what was meant.
func (c *planner) writeSealed(n *pg_query.Node) (string, error) {
	spellable(n)
	sql, err := parse.Write(n)
	if err != nil {
		return "", fmt.Errorf("rewrite: internal error: %w", err)
	}
	read, err := parse.ParseOne(sql)
	if err != nil {
		return "", refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	places, same := c.places(n, read)
	if !same {
		return "", refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	sql = spell(sql, places)
	return sql, c.verifySealed(sql)
}

// hole is what a mark stands for.
type hole struct {
	value string
	of    *policy.Sealed
	find  bool
	forms bool
	row   *Row
}

// standIn is what stands in the text where a value will, once sealed.
const standIn = "'sealed'"

// cutHoles takes the marks out of the text to send, and notes where they were.
func (p *Plan) cutHoles() {
	if p.Seals == nil || len(p.Seals.marked) == 0 {
		return
	}
	var b strings.Builder
	rest := p.SQL
	for {
		at, h, length := len(rest), hole{}, 0
		for mark, of := range p.Seals.marked {
			if i := strings.Index(rest, mark); i >= 0 && i < at {
				at, h, length = i, of, len(mark)
			}
		}
		b.WriteString(rest[:at])
		if length == 0 {
			break
		}
		p.Seals.Holes = append(p.Seals.Holes, Hole{At: b.Len(), End: b.Len() + len(standIn), Value: h.value, For: h.of, Find: h.find, Forms: h.forms, Row: h.row})
		b.WriteString(standIn)
		rest = rest[at+length:]
	}
	p.SQL, p.Seals.marked = b.String(), nil
}
