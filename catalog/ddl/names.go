package ddl

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

func defaultPath() []string { return []string{"$user", "public"} }

func (b *builder) createSchema(s *pg.CreateSchemaStmt) error {
	name := s.GetSchemaname()
	if name == "" {
		name = s.GetAuthrole().GetRolename()
	}
	switch {
	case name == "":
		return errors.New("schema has no name")
	case strings.HasPrefix(name, "pg_"):
		return fmt.Errorf("schema name %q is reserved", name)
	case b.schemas[name] && !s.GetIfNotExists():
		return fmt.Errorf("schema %q already exists", name)
	}
	b.schemas[name] = true
	outer := b.path
	b.path = append([]string{name}, outer...)
	defer func() { b.path = outer }()
	for _, element := range s.GetSchemaElts() {
		if err := b.statement(element); err != nil {
			return err
		}
	}
	return nil
}

// set honours search_path. Other settings decide nothing here, but for the one
// that changes what a string literal is.
func (b *builder) set(s *pg.VariableSetStmt) error {
	name := strings.ToLower(s.GetName())
	switch {
	case s.GetKind() == pg.VariableSetKind_VAR_RESET_ALL, name == "search_path" && isDefault(s.GetKind()):
		b.path = defaultPath()
		return nil
	case name == "standard_conforming_strings" && !isDefault(s.GetKind()):
		return requireOn(name, s.GetArgs())
	case name != "search_path":
		return nil
	case s.GetIsLocal():
		return errors.New("SET LOCAL search_path is not supported")
	}
	b.path = nil
	for _, arg := range s.GetArgs() {
		b.path = append(b.path, arg.GetAConst().GetSval().GetSval())
	}
	return nil
}

func isDefault(kind pg.VariableSetKind) bool {
	return kind == pg.VariableSetKind_VAR_SET_DEFAULT || kind == pg.VariableSetKind_VAR_RESET
}

func requireOn(name string, args []*pg.Node) error {
	if len(args) == 1 && isLiteral(args[0], "on") {
		return nil
	}
	return fmt.Errorf("%s must be on", name)
}

// call lets pass the two functions that pg_dump calls: one sets the search
// path, the other a sequence's value.
func (b *builder) call(s *pg.SelectStmt) error {
	unsupported := errors.New("SELECT is not supported")
	if len(s.GetTargetList()) != 1 || len(s.GetFromClause()) != 0 {
		return unsupported
	}
	f := s.GetTargetList()[0].GetResTarget().GetVal().GetFuncCall()
	switch strings.TrimPrefix(dotted(f.GetFuncname()), "pg_catalog.") {
	case "setval":
		return nil
	case "set_config":
		args := f.GetArgs()
		if len(args) != 3 || !isLiteral(args[0], "search_path") || !isLiteral(args[1], "") || args[2].GetAConst().GetBoolval().GetBoolval() {
			return unsupported
		}
		b.path = nil
		return nil
	default:
		return unsupported
	}
}

func isLiteral(n *pg.Node, value string) bool {
	s := n.GetAConst().GetSval()
	return s != nil && s.GetSval() == value
}

// placement is where a statement creates something: in the schema it names,
// else in the first of the search path that exists.
func (b *builder) placement(schema, name string) (catalog.Name, error) {
	if schema == "" {
		i := slices.IndexFunc(b.path, func(s string) bool { return b.schemas[s] })
		if i < 0 {
			return catalog.Name{}, fmt.Errorf("no schema of search_path can hold %q", name)
		}
		schema = b.path[i]
	}
	if !b.schemas[schema] {
		return catalog.Name{}, fmt.Errorf("schema %q does not exist", schema)
	}
	if catalog.SystemSchema(schema) {
		return catalog.Name{}, fmt.Errorf("%s.%s would be in a schema of the system", schema, name)
	}
	return catalog.Name{Schema: schema, Name: name}, nil
}

func (b *builder) placeRelation(rv *pg.RangeVar) (catalog.Name, error) {
	if rv.GetCatalogname() != "" {
		return catalog.Name{}, errors.New("names with a database are not supported")
	}
	if rv.GetRelpersistence() == "t" {
		return catalog.Name{}, errors.New("temporary relations are not supported")
	}
	return b.placement(rv.GetSchemaname(), rv.GetRelname())
}

// placeName is placement for a name that is a list, as types' and functions'.
func (b *builder) placeName(names []*pg.Node) (catalog.Name, error) {
	schema, name, err := split(names)
	if err != nil {
		return catalog.Name{}, err
	}
	return b.placement(schema, name)
}

func split(names []*pg.Node) (schema, name string, err error) {
	switch s := texts(names); len(s) {
	case 1:
		return "", s[0], nil
	case 2:
		return s[0], s[1], nil
	default:
		return "", "", fmt.Errorf("name %q has too many parts", strings.Join(s, "."))
	}
}

func texts(nodes []*pg.Node) []string {
	s := make([]string, len(nodes))
	for i, n := range nodes {
		s[i] = n.GetString_().GetSval()
	}
	return s
}

func dotted(names []*pg.Node) string { return strings.Join(texts(names), ".") }

// lookupPath is the search path as names are found along it: the system's
// schema comes first unless it is listed.
func (b *builder) lookupPath() []string {
	if slices.Contains(b.path, "pg_catalog") {
		return b.path
	}
	return append([]string{"pg_catalog"}, b.path...)
}

// relation finds a relation that a statement refers to.
func (b *builder) relation(rv *pg.RangeVar) (*catalog.Relation, error) {
	schema, name := rv.GetSchemaname(), rv.GetRelname()
	path := b.lookupPath()
	if schema != "" {
		path = []string{schema}
	}
	for _, s := range path {
		if r, ok := b.byName[catalog.Name{Schema: s, Name: name}]; ok {
			return r, nil
		}
		if r, ok := b.system.Relation(nil, s, name); ok {
			return r, nil
		}
	}
	return nil, fmt.Errorf("relation %q does not exist", strings.TrimPrefix(schema+"."+name, "."))
}

// own finds a relation that a statement changes, which only one that the text
// created can be.
func (b *builder) own(rv *pg.RangeVar) (*catalog.Relation, error) {
	r, err := b.relation(rv)
	if err != nil {
		return nil, err
	}
	if !r.Governed() {
		return nil, fmt.Errorf("%s belongs to the system", r.QualifiedName())
	}
	return r, nil
}

const maxName = 63 // NAMEDATALEN - 1

// objectName joins a table's name, a column's and a label as PostgreSQL's
// makeObjectName does: the longer of the first two gives way.
func objectName(table, column, label string) string {
	room := maxName - len(label) - 1
	if column != "" {
		room--
	}
	a, c := len(table), len(column)
	for a+c > room {
		if a > c {
			a--
		} else {
			c--
		}
	}
	name := clip(table, a)
	if column != "" {
		name += "_" + clip(column, c)
	}
	return name + "_" + label
}

// clip shortens s to at most n bytes, without cutting a character in two.
func clip(s string, n int) string {
	if n >= len(s) {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// freeName gives the first of name, name1, name2 … that is not taken, the
// number being part of the label.
func freeName(table, column, label string, taken func(string) bool) string {
	name := objectName(table, column, label)
	for i := 1; taken(name); i++ {
		name = objectName(table, column, fmt.Sprintf("%s%d", label, i))
	}
	return name
}

var plainIdent = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// quoteIdent spells a name as PostgreSQL's quote_identifier does.
func quoteIdent(name string) string {
	if plainIdent.MatchString(name) && !reserved(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// reserved tells whether a name is a keyword that may not always be a name.
func reserved(name string) bool {
	scanned, err := pg.Scan(name)
	if err != nil || len(scanned.GetTokens()) != 1 {
		return true
	}
	kind := scanned.GetTokens()[0].GetKeywordKind()
	return kind != pg.KeywordKind_NO_KEYWORD && kind != pg.KeywordKind_UNRESERVED_KEYWORD
}
