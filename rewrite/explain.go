package rewrite

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Session gives a new session of a caller whose search_path is written so, as
// SET search_path would take it; "" for the server's default.
func (e *Engine) Session(a *policy.Access, searchPath string) (Session, error) {
	s := Session{Access: a}
	names := []string{"$user", "public"}
	if searchPath != "" {
		n, err := parse.ParseOne("SET search_path = " + searchPath)
		values, ok := constants(n.GetVariableSetStmt().GetArgs())
		if err != nil || !ok || slices.Contains(values, "") {
			return s, fmt.Errorf("search_path %q is not a list of schemas", searchPath)
		}
		names = values
	}
	s.Path = e.path(s, names)
	return s, nil
}

// Explain plans a text and says in words what becomes of it: who asks, what is
// shown of each column and by which rule, which rows, and what is sent; of a
// refused text, what would be allowed. The error is a bug in pgveil, or of w.
func (e *Engine) Explain(w io.Writer, s Session, sql string) (refused bool, err error) {
	p, err := e.Plan(s, sql)
	var r *Refusal
	if err != nil && !errors.As(err, &r) {
		return false, err
	}
	if refused = r != nil; refused {
		p = r.Plan
	}
	x := &explanation{engine: e, session: s}
	x.list("Who", s.Access.Why())
	if r != nil {
		x.refusal(r)
	} else {
		x.list("Decision", []string{decisionWords(p.Decision)})
	}
	if p != nil {
		x.columns(p)
	}
	if r == nil {
		x.rows(sql)
		x.limits(p)
		x.list("Asked", wrapSQL(sql))
		if p.Changed {
			x.list("Sent", wrapSQL(p.SQL))
		}
	}
	_, err = io.WriteString(w, x.text.String())
	return refused, err
}

// explanation puts an explanation together, section by section.
type explanation struct {
	engine  *Engine
	session Session
	text    strings.Builder
}

// list writes a section of plain lines; nothing when there are none.
func (x *explanation) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if x.text.Len() > 0 {
		x.text.WriteByte('\n')
	}
	x.text.WriteString(title + "\n")
	for _, line := range lines {
		x.text.WriteString("  " + line + "\n")
	}
}

// table writes a section of aligned columns.
func (x *explanation) table(title string, rows [][]string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush() // into memory, which takes everything
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	x.list(title, lines)
}

func decisionWords(d Decision) string {
	switch d {
	case Allowed:
		return "allow: nothing is hidden"
	case Masked:
		return "mask: columns are masked or left out, or rows filtered"
	case Unrestricted:
		return "unrestricted: sent as it is, and recorded"
	case Observed:
		return "observe: sent as it is; what would have been done is recorded"
	default:
		return string(d)
	}
}

func (x *explanation) columns(p *Plan) {
	if len(p.Columns) > 0 {
		rows := [][]string{{"COLUMN", "CLASS", "USE", "SHOWN", "RULE", "BECAUSE"}}
		for _, c := range p.Columns {
			use := "read"
			if c.Write {
				use = "write"
			}
			rows = append(rows, []string{c.Name, orDash(c.Class), use, c.Show, orDash(c.Rule), c.Because})
		}
		x.table("Columns", rows)
	}
	x.list("Reasons", p.Reasons)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// rows lists the conditions under which the caller sees rows of the relations
// that the text names.
func (x *explanation) rows(sql string) {
	var rows [][]string
	for _, rel := range x.relations(sql) {
		a := x.session.Access.Relation(rel)
		for i, v := range a.Views {
			condition := v.Rows
			if condition == "" {
				condition = "every row"
			}
			if i > 0 {
				condition = "or " + condition
			}
			rows = append(rows, []string{rel.QualifiedName(), condition})
		}
		if a.Consent.ByRow != "" {
			rows = append(rows, []string{rel.QualifiedName(), "and only with consent: " + a.Consent.ByRow})
		}
		if a.Restriction.ByRow != "" {
			rows = append(rows, []string{rel.QualifiedName(), "and only where nothing was restricted or objected to: " + a.Restriction.ByRow})
		}
	}
	if len(rows) > 0 && !x.session.Access.Unrestricted {
		x.table("Rows", rows)
	}
}

// relations gives the governed relations that a text names, as far as it can
// be understood.
func (x *explanation) relations(sql string) []*catalog.Relation {
	stmts, err := parse.Parse(sql)
	if err != nil {
		return nil
	}
	var found []*catalog.Relation
	for _, st := range stmts {
		n := queryOf(st.Node)
		if cp := st.Node.GetCopyStmt(); cp.GetRelation() != nil {
			n = copyQuery(cp.Relation, nil)
		}
		if n == nil {
			continue
		}
		q, err := resolve.Resolve(resolve.Input{Catalog: x.engine.Catalog, Path: x.session.Path}, n)
		if err != nil {
			continue
		}
		for _, ref := range q.Refs {
			if ref.Relation.Governed() && !slices.Contains(found, ref.Relation) {
				found = append(found, ref.Relation)
			}
		}
	}
	return found
}

// refusal says what is refused, by which rule, and what would be allowed.
func (x *explanation) refusal(r *Refusal) {
	rows := [][]string{{"refuse", r.Message}, {"SQLSTATE", r.Code}}
	if r.Rule != "" {
		rows = append(rows, []string{"rule", r.Rule})
	}
	if r.Hint != "" {
		rows = append(rows, []string{"hint", r.Hint})
	}
	x.table("Decision", rows)
	if r.Plan == nil {
		return
	}
	for _, c := range r.Plan.Columns {
		if c.Show == "refuse" {
			x.allowed(c.Name)
		}
	}
}

// allowed lists what the caller may see of the relation that a refused column
// belongs to.
func (x *explanation) allowed(column string) {
	for _, rel := range x.engine.Catalog.Relations() {
		if name, ok := strings.CutPrefix(column, rel.QualifiedName()+"."); !ok || rel.ColumnIndex(name) < 0 {
			continue
		}
		t, err := x.engine.template(x.session.Access, rel)
		if err != nil || !t.access.Ops.Has(policy.Select) {
			return
		}
		var rows [][]string
		for i, c := range t.columns {
			if c.treatment.Show != policy.ShowRefuse {
				rows = append(rows, []string{rel.Columns[i].Name, showName(c.treatment)})
			}
		}
		x.table("Allowed of "+rel.QualifiedName(), rows)
	}
}

// width is how long a line of SQL may get before it is broken.
const width = 100

// clauses are the keywords that start a line of their own.
var clauses = []pg_query.Token{
	pg_query.Token_FROM, pg_query.Token_WHERE, pg_query.Token_GROUP_P, pg_query.Token_HAVING, pg_query.Token_ORDER,
	pg_query.Token_LIMIT, pg_query.Token_UNION, pg_query.Token_INTERSECT, pg_query.Token_EXCEPT, pg_query.Token_RETURNING,
	pg_query.Token_SET, pg_query.Token_VALUES,
}

// wrapSQL breaks a text into lines before its clauses and where it gets long,
// and moves sub-queries to the right. A text that cannot be scanned stays.
func wrapSQL(sql string) []string {
	scan, err := pg_query.Scan(sql)
	if err != nil {
		return strings.Split(sql, "\n")
	}
	w := wrapper{queries: []bool{true}}
	end, before := int32(0), pg_query.Token_NUL
	for i, t := range scan.Tokens {
		text := sql[t.Start:t.End]
		if t.Start > end {
			text = " " + text
		}
		clause := slices.Contains(clauses, t.Token) && before != pg_query.Token_DISTINCT // IS DISTINCT FROM
		subquery := i+1 < len(scan.Tokens) && slices.Contains([]pg_query.Token{pg_query.Token_SELECT, pg_query.Token_WITH}, scan.Tokens[i+1].Token)
		w.token(t.Token, text, clause, subquery)
		end, before = t.End, t.Token
	}
	return append(w.lines, w.line)
}

// wrapper collects the lines of wrapSQL.
type wrapper struct {
	lines   []string
	line    string
	queries []bool // one an open parenthesis: whether it holds a query
}

// token adds a token. clause tells whether it starts a clause of whatever is
// around it, subquery whether a query follows it.
func (w *wrapper) token(t pg_query.Token, text string, clause, subquery bool) {
	clause = clause && w.queries[len(w.queries)-1]
	switch {
	case t == pg_query.Token_ASCII_41 && len(w.queries) > 1:
		w.queries = w.queries[:len(w.queries)-1]
	case clause:
		w.newLine("")
	case len(w.line)+len(text) > width && strings.HasPrefix(text, " "):
		w.newLine("  ")
	}
	if strings.TrimSpace(w.line) == "" {
		text = strings.TrimPrefix(text, " ")
	}
	w.line += text
	if t == pg_query.Token_ASCII_40 {
		w.queries = append(w.queries, subquery)
		if subquery {
			w.newLine("")
		}
	}
}

// newLine begins a line, deeper to the right by indent than its query.
func (w *wrapper) newLine(indent string) {
	if w.line != "" {
		w.lines = append(w.lines, w.line)
	}
	w.line = strings.Repeat("    ", w.depth()) + indent
}

// depth counts the queries around the current line.
func (w *wrapper) depth() int {
	n := -1
	for _, q := range w.queries {
		if q {
			n++
		}
	}
	return n
}
