package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
)

// Reference says by which columns rows refer to a subject, or to rows that are
// a subject's, though no constraint says so.
type Reference struct {
	Relation  *catalog.Relation
	Columns   []string // of Relation
	To        *catalog.Relation
	ToColumns []string // of To, one for each of Columns
	Where     []When   // the rows that refer; all when nil
	Path      []string // within the one column, which is JSON; arrays on the way are gone through
	FoldCase  bool     // upper and lower case are the same
}

// When is that a column, as text, has one of some values.
type When struct {
	Column string
	Values []string
}

// Many tells whether a row may refer to several at once.
func (r Reference) Many() bool { return r.Path != nil || r.array() }

func (r Reference) array() bool {
	c, ok := r.Relation.Column(r.Columns[0])
	to, known := r.To.Column(r.ToColumns[0])
	return ok && isArray(c.Type) && !(known && isArray(to.Type)) // a key may itself be an array
}

func isArray(t catalog.Type) bool {
	return t.Elem != 0 || t.Kind == 'd' && strings.HasPrefix(t.Base, "_")
}

// Plain tells whether the columns hold, in every row, what a foreign key would.
func (r Reference) Plain() bool { return !r.Many() && r.Where == nil && !r.FoldCase }

// reference is a Reference as it is written.
type reference struct {
	from, to []pattern
	where    []condition
	path     []string
	fold     bool
	pos      Pos
}

type condition struct {
	column pattern
	values []string
}

func (r *reader) reference(n *yaml.Node) reference {
	ref := reference{pos: r.at(n)}
	r.fields(n, "a reference", keys{
		"from": func(n *yaml.Node) {
			ref.from = r.columnList(n, func(n *yaml.Node) pattern { return r.name(n, "a column", 3) })
		},
		"to":          func(n *yaml.Node) { ref.to = r.columnList(n, r.target) },
		"where":       func(n *yaml.Node) { ref.where = r.conditions(n) },
		"path":        func(n *yaml.Node) { ref.path = r.path(n) },
		"ignore_case": func(n *yaml.Node) { ref.fold = r.truth(n) },
	}, "from")
	return ref
}

func (r *reader) columnList(n *yaml.Node, read func(*yaml.Node) pattern) (found []pattern) {
	r.list(n, "columns", func(n *yaml.Node) { found = append(found, read(n)) })
	return found
}

// target reads a column of the subject's table, or one of another by its whole
// name.
func (r *reader) target(n *yaml.Node) pattern {
	if p, err := parsePattern(n.Value); n.Kind == yaml.ScalarNode && err == nil && len(p.parts) == 3 {
		return r.name(n, "a column", 3)
	}
	return r.name(n, "a column", 1)
}

// conditions reads which values some columns have in the rows that refer.
func (r *reader) conditions(n *yaml.Node) []condition {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.wrongKind(n, "a mapping from columns to values")
		return nil
	}
	var all []condition
	for i := 0; i+1 < len(n.Content); i += 2 {
		c := condition{column: r.name(n.Content[i], "a column", 1)}
		if slices.ContainsFunc(all, func(k condition) bool { return k.column.text == c.column.text }) {
			r.add(c.column.pos, "%q is there twice", c.column.text)
		}
		for _, w := range r.words(n.Content[i+1], "a value") {
			if strings.ContainsRune(w.text, 0) {
				r.add(w.pos, "no value of a column holds a NUL")
			}
			c.values = append(c.values, w.text)
		}
		all = append(all, c)
	}
	return all
}

// path reads the names of members, with dots between them.
func (r *reader) path(n *yaml.Node) []string {
	w := r.text(n, "a path into JSON")
	if w.text == "" {
		return nil
	}
	names := strings.Split(w.text, ".")
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "\"\\\x00$*[]") {
			r.add(w.pos, "%q is no path: write the names of members with dots between, as in customer.id; arrays on the way are gone through", w.text)
			return nil
		}
	}
	return names
}

// references resolves what a subject says of rows that refer to it.
func (c *compiler) references(s *subject, of Subject) (all []Reference) {
	for _, ref := range s.references {
		found := Reference{To: of.Relation, ToColumns: []string{of.Key}, Path: ref.path, FoldCase: ref.fold}
		if found.Relation, found.Columns = c.columnsOfOne(ref.from, of.Relation); found.Relation == nil {
			continue
		}
		if ref.to != nil {
			if found.To, found.ToColumns = c.columnsOfOne(ref.to, of.Relation); found.To == nil {
				continue
			}
		}
		for _, k := range ref.where {
			if k.column.parts != nil {
				found.Where = append(found.Where, When{c.column(found.Relation, k.column), k.values})
			}
		}
		if c.refers(ref.pos, found) {
			all = append(all, found)
		}
	}
	return all
}

// columnsOfOne gives columns of one relation; nil when they are none, or not
// all of one. Those without a table are of own.
func (c *compiler) columnsOfOne(all []pattern, own *catalog.Relation) (r *catalog.Relation, names []string) {
	for _, p := range all {
		if p.parts == nil {
			return nil, nil
		}
		of := own
		if len(p.parts) == 3 {
			table := pattern{parts: p.parts[:2], pos: p.pos}
			table.text = table.parts[0].text + "." + table.parts[1].text
			if of = c.relation(table); of == nil {
				return nil, nil
			}
		}
		last := p.parts[len(p.parts)-1].text
		switch {
		case of.ColumnIndex(last) < 0:
			c.unknown(p.pos, "column of "+of.QualifiedName(), last, columnNames(of))
			return nil, nil
		case r != nil && of != r:
			c.add(p.pos, "the columns of a reference are all of one table: %s is not of %s", p.text, r.QualifiedName())
			return nil, nil
		case slices.Contains(names, last):
			c.add(p.pos, "%q is there twice", p.text)
			return nil, nil
		}
		r, names = of, append(names, last)
	}
	return r, names
}

// refers checks that what a reference says can be compared.
func (c *compiler) refers(pos Pos, r Reference) bool {
	first, _ := r.Relation.Column(r.Columns[0])
	family := FamilyOf(first.Type)
	switch {
	case len(r.Columns) != len(r.ToColumns):
		c.add(pos, "a reference from %d columns to %d: there must be one for each; say which with \"to\"", len(r.Columns), len(r.ToColumns))
	case r.Many() && len(r.Columns) > 1:
		c.add(pos, "%s.%s may refer to several: such a column stands alone", r.Relation.QualifiedName(), first.Name)
	case r.Path != nil && !isJSON(first.Type):
		c.add(pos, "%s.%s is %s: a path leads through json and jsonb only", r.Relation.QualifiedName(), first.Name, first.Type.SQL)
	case r.Path == nil && isJSON(first.Type):
		c.add(pos, "%s.%s is %s: say with \"path\" where in it", r.Relation.QualifiedName(), first.Name, first.Type.SQL)
	case r.FoldCase && !r.Many() && (len(r.Columns) > 1 || family != FamilyText):
		c.add(pos, "%s.%s is %s: only text has upper and lower case", r.Relation.QualifiedName(), first.Name, first.Type.SQL)
	case slices.Equal(r.Columns, r.ToColumns) && r.Relation == r.To:
		c.add(pos, "%s.%s would refer to itself", r.Relation.QualifiedName(), first.Name)
	default:
		return true
	}
	return false
}

func isJSON(t catalog.Type) bool { return t.Base == "json" || t.Base == "jsonb" }

// unique tells whether what a reference names is one row at most, as far as the
// catalog tells: the key that the policy declares, or a primary key.
func (r Reference) unique(s *Subject) bool {
	if r.To == s.Relation && slices.Contains(r.ToColumns, s.Key) && !r.FoldCase {
		return true
	}
	for _, i := range r.To.PrimaryKey {
		if !slices.Contains(r.ToColumns, r.To.Columns[i].Name) {
			return false
		}
	}
	return r.To.PrimaryKey != nil && !r.FoldCase
}

// Applies is the condition, never null, that a row is one of those that refer.
func (r Reference) Applies(alias string) string {
	all := make([]string, len(r.Where))
	for i, k := range r.Where {
		values := make([]string, len(k.Values))
		for j, v := range k.Values {
			values[j] = quoteLiteral(v)
		}
		all[i] = fmt.Sprintf("(%s OPERATOR(pg_catalog.=) ANY (ARRAY[%s]::pg_catalog.text[]))", asText(alias+"."+quoteName(k.Column)), strings.Join(values, ", "))
	}
	if len(all) == 0 {
		return "true"
	}
	return "((" + strings.Join(all, " AND ") + ") IS TRUE)"
}

// Refers is the condition that the row from refers to the row to, both by their
// aliases.
func (r Reference) Refers(from, to string) string {
	var all []string
	if r.Where != nil {
		all = append(all, r.Applies(from))
	}
	for i := range r.Columns {
		all = append(all, r.holds(from, i, to+"."+quoteName(r.ToColumns[i])))
	}
	return strings.Join(all, " AND ")
}

// holds is the condition that the i-th column holds a value of the column that
// it refers to.
func (r Reference) holds(from string, i int, value string) string {
	column, ref, value := r.compared(from, i, value)
	if r.Many() {
		return fmt.Sprintf("%s OPERATOR(pg_catalog.=) ANY (%s)", value, column)
	}
	condition := fmt.Sprintf("%s OPERATOR(%s.=) %s", value, quoteName(operatorSchema(ref)), column)
	if FamilyOf(ref) == FamilyText && !slices.Contains(r.To.PrimaryKey, r.To.ColumnIndex(r.ToColumns[i])) {
		condition = fmt.Sprintf("(%s AND %s OPERATOR(pg_catalog.<>) '')", condition, asText(value)) // what is empty names nobody
	}
	return condition
}

// Others is the condition, never null, that a row refers to something else than
// own, one value for each column: where it may refer to several, that it is not
// to own alone.
func (r Reference) Others(from string, own []string) string {
	if r.Many() {
		column, _, value := r.compared(from, 0, own[0])
		return fmt.Sprintf("EXISTS (SELECT FROM pg_catalog.unnest(%s) AS v (v) WHERE v.v IS NOT NULL AND (v.v OPERATOR(pg_catalog.=) %s) IS NOT TRUE)", column, value)
	}
	all := make([]string, len(r.Columns))
	for i := range r.Columns {
		all[i] = r.holds(from, i, own[i])
	}
	return "((" + strings.Join(all, " AND ") + ") IS NOT TRUE)"
}

// Value is an expression for what a row refers by, as text: null where it does
// not, several with commas between where it may refer to several. i is the
// column.
func (r Reference) Value(from string, i int) string {
	value := asText(from + "." + quoteName(r.Columns[i]))
	if r.Many() {
		column, _, _ := r.compared(from, i, "NULL")
		value = "pg_catalog.array_to_string(" + column + ", ',')"
	}
	if r.Where == nil {
		return value
	}
	return "CASE WHEN " + r.Applies(from) + " THEN " + value + " END"
}

// compared gives what to compare: the i-th column, an array of texts where it may
// hold many, and the value that it would refer to, both in the type that is
// given. A column of text is compared as it is, so that an index on it serves.
func (r Reference) compared(from string, i int, value string) (column string, in catalog.Type, v string) {
	c, _ := r.Relation.Column(r.Columns[i])
	to, _ := r.To.Column(r.ToColumns[i])
	column, text := from+"."+quoteName(c.Name), catalog.Type{Schema: "pg_catalog", Name: "text", Kind: 'b', Base: "text"}
	fold := func(s string) string {
		if r.FoldCase {
			return "pg_catalog.lower(" + s + ")"
		}
		return s
	}
	switch {
	case r.Path != nil:
		query := fmt.Sprintf("ARRAY(SELECT %s FROM pg_catalog.jsonb_path_query(CAST(%s AS pg_catalog.jsonb), %s::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true) AS j (v))",
			fold("(j.v OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[])"), column, quoteLiteral(jsonPath(r.Path)))
		return query, text, fold(asText(value))
	case r.array() && r.FoldCase:
		return fmt.Sprintf("ARRAY(SELECT pg_catalog.lower(a.v) FROM pg_catalog.unnest(CAST(%s AS pg_catalog.text[])) AS a (v))", column), text, fold(asText(value))
	case r.array():
		return fmt.Sprintf("CAST(%s AS pg_catalog.text[])", column), text, asText(value)
	case r.FoldCase:
		return fold(asText(column)), text, fold(asText(value))
	case c.Type.Base == to.Type.Base || isNumber(c.Type) && isNumber(to.Type):
		return column, c.Type, value
	case FamilyOf(c.Type) == FamilyText:
		return column, c.Type, fmt.Sprintf("CAST(%s AS %s.%s)", value, quoteName(c.Type.Schema), quoteName(c.Type.Name))
	default:
		return asText(column), text, asText(value)
	}
}

// jsonPath spells a path for the server. In lax mode, which it is unless said
// otherwise, members are looked for within arrays as well.
func jsonPath(names []string) string {
	path := "$"
	for _, name := range names {
		path += `."` + name + `"`
	}
	return path + "[*]"
}

func asText(sql string) string { return "CAST(" + sql + " AS pg_catalog.text)" }

// isNumber tells whether the system's = compares values of the type with other
// numbers as they are.
func isNumber(t catalog.Type) bool {
	return slices.Contains([]string{"int2", "int4", "int8", "numeric"}, t.Base)
}

// operatorSchema gives the schema of a type's own operator =: a base type from an
// extension brings its own beside it, all others are compared by the system's.
func operatorSchema(t catalog.Type) string {
	if t.Kind == 'b' && t.Schema != "" && t.Elem == 0 {
		return t.Schema
	}
	return "pg_catalog"
}

// Identifies tells whether the values of a column are what a subject is known by:
// its class says so.
func (s *Set) Identifies(r *catalog.Relation, column string) bool {
	t, i := s.tables[r], r.ColumnIndex(column)
	return t != nil && i >= 0 && t.classes[i] != "" && s.doc.classes[t.classes[i]].known
}
