package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
)

// Sealing says how a class's values are stored so that only pgveil can read
// them. The zero Sealing says that they are stored as they are.
type Sealing struct {
	Mode   SealMode
	Type   string     // what the values are to clients, as in SealTypes; "": what the column is
	Format SealFormat // that the stored text keeps; its zero: none, the text is an envelope
	Blind  bool       // a column beside it holds keyed hashes, by which equal values are found
	Joins  bool       // deterministic columns of the class seal equal values alike
	Shred  bool       // each value that is written has a data key of its own, which an erasure destroys
	Row    bool       // values are bound to the primary key of their row, too
	Clear  bool       // values that are not sealed yet are taken for what they are, as while a column is being sealed
	Find   bool       // what is looked for is looked for in clear, too; with Clear
	Hide   bool       // what cannot be opened is shown as NULL, not as an error
}

// SealMode is a way to seal. The zero SealMode is none.
type SealMode uint8

// The ways to seal.
const (
	SealRandomized    SealMode = iota + 1 // equal values look different
	SealDeterministic                     // equal values of a column look alike: they can be compared
)

var sealModes = []string{"", "randomized", "deterministic"}

// String gives the mode as a policy writes it; "" for none.
func (m SealMode) String() string { return sealModes[m] }

// SealFormat is the form that format-preserving encryption keeps: so many
// characters of an alphabet.
type SealFormat struct {
	Alphabet    string // digits, letters or alphanumeric; "": none
	Least, Most int    // characters
}

// String gives the format as a policy writes it.
func (f SealFormat) String() string {
	switch {
	case f.Alphabet == "":
		return ""
	case f.Least == f.Most:
		return fmt.Sprintf("%s(%d)", f.Alphabet, f.Most)
	default:
		return fmt.Sprintf("%s(%d, %d)", f.Alphabet, f.Least, f.Most)
	}
}

// sealFormats are the alphabets of formats, each with its size and the fewest
// characters that make a million different values: NIST SP 800-38G revision 1
// asks for so many, since fewer can be tried.
var sealFormats = map[string]struct{ size, least int }{
	"digits":       {10, 6},
	"letters":      {26, 5},
	"alphanumeric": {36, 4},
}

// maxFormat bounds the characters of a formatted value.
const maxFormat = 56

var formatText = regexp.MustCompile(`^([a-z]+)\((\d+)(?:, ?(\d+))?\)$`)

func (r *reader) sealFormat(n *yaml.Node) (f SealFormat) {
	w := r.text(n, "a format, as in digits(9)")
	if w.text == "" {
		return f
	}
	m := formatText.FindStringSubmatch(w.text)
	if m == nil || sealFormats[m[1]].size == 0 {
		r.add(w.pos, "%q is no format: digits(9), letters(5, 20) and alphanumeric(8) are", w.text)
		return f
	}
	f.Alphabet = m[1]
	f.Least, _ = strconv.Atoi(m[2]) // digits alone; too many are out of the bounds below
	f.Most = f.Least
	if m[3] != "" {
		f.Most, _ = strconv.Atoi(m[3])
	}
	if least := sealFormats[m[1]].least; f.Least < least || f.Most < f.Least || f.Most > maxFormat {
		r.add(w.pos, "%s takes %d to %d characters: of fewer, all values could be tried", m[1], least, maxFormat)
	}
	return f
}

// SealTypes are the types that values of a sealed column can have, by their
// names in pg_type. Those that are stored in columns of their own type come
// first.
var SealTypes = []string{"text", "varchar", "bytea", "json", "jsonb", "date", "numeric", "int2", "int4", "int8", "uuid", "timestamp", "timestamptz", "bool"}

const inPlaceTypes = 5 // of SealTypes

// sealTypeNames are further names that policies may use.
var sealTypeNames = map[string]string{"smallint": "int2", "integer": "int4", "bigint": "int8", "boolean": "bool", "decimal": "numeric"}

func (r *reader) sealType(n *yaml.Node) string {
	w := r.text(n, "a type")
	name := w.text
	if other := sealTypeNames[name]; other != "" {
		name = other
	}
	if name != "" && !slices.Contains(SealTypes, name) {
		r.add(w.pos, "values of type %q cannot be sealed: %q can", w.text, SealTypes)
	}
	return name
}

// Sealing gives how a class says that it is sealed; the zero Sealing where there is
// no such class.
func (d *Document) Sealing(class string) Sealing {
	if c := d.classes[class]; c != nil {
		return c.seal
	}
	return Sealing{}
}

// sealing checks what a class says of its sealing by itself.
func (r *reader) sealing(c *class) {
	s := &c.seal
	plain := *s == Sealing{Mode: s.Mode}
	switch {
	case c.name.text == openClass && *s != Sealing{}:
		r.add(c.name.pos, "open columns are shown to everybody: they are not sealed")
	case s.Mode == 0 && !plain:
		r.add(c.name.pos, "class %q says how it is sealed, but not seal: randomized or deterministic", c.name.text)
	case s.Format.Alphabet != "" && s.Mode != SealDeterministic:
		r.add(c.name.pos, "class %q: what keeps a format has no room for anything random: it is deterministic", c.name.text)
	case s.Format.Alphabet != "" && s.Type != "":
		r.add(c.name.pos, "class %q: what keeps a format is text", c.name.text)
	case s.Format.Alphabet != "" && s.Clear:
		r.add(c.name.pos, "class %q: what keeps a format looks the same whether it is sealed or not, so clear: accept could not tell: fill a new column through pgveil", c.name.text)
	case s.Blind && s.Mode != SealRandomized:
		r.add(c.name.pos, "class %q: deterministic values are found without an index beside them", c.name.text)
	case s.Mode != 0 && c.erase.Mask.Kind != 0 && c.erase.Mask.Kind != MaskNull:
		r.add(c.erase.pos, "class %q is sealed: an erasure can keep its values or make them null, not compute from them", c.name.text)
	case s.Mode == SealDeterministic && (s.Type == "numeric" || s.Type == "json" || s.Type == "jsonb"):
		r.add(c.name.pos, "class %q: equal values of type %s can be written differently, so they are not found for each other: only randomized suits them", c.name.text, s.Type)
	case s.Joins && s.Mode != SealDeterministic:
		r.add(c.name.pos, "class %q: only deterministic values can be joined", c.name.text)
	case s.Shred && s.Mode != SealRandomized:
		r.add(c.name.pos, "class %q: under keys of their own equal values never look alike: shred takes randomized", c.name.text)
	case s.Find && s.Mode != SealDeterministic:
		r.add(c.name.pos, "class %q: nothing is looked for in the column itself where equal values look different: clear: find takes deterministic", c.name.text)
	case s.Row && s.Mode != SealRandomized:
		r.add(c.name.pos, "class %q: what is bound to its row looks different in every row: bind: row takes randomized", c.name.text)
	}
}

// valuesOf gives the type of a column's values once they are opened.
func (c *class) valuesOf(stored catalog.Type) catalog.Type {
	if c == nil || c.seal.Type == stored.Name { // with the length that the column gives
		return stored
	}
	typ, err := ValueType(c.seal.Type, 0)
	if err != nil {
		return stored // which says what the values are
	}
	return typ
}

// appliesTo tells whether a treatment is defined for the values of a class's
// column. The server cannot aggregate what it cannot read.
func (t Treatment) appliesTo(c *class, stored catalog.Type) error {
	if t.Show == ShowAggregate && c != nil && c.seal.Mode != 0 {
		return fmt.Errorf("%s is not defined for what is sealed: the server cannot read it", t.Shown())
	}
	return t.applies(c.valuesOf(stored))
}

// Sealed is a column whose values are sealed.
type Sealed struct {
	Sealing
	Class               string
	Domain              string // what its values are bound to: the column as schema.table.column, or the class where its columns join
	Column              string // as schema.table.column
	Schema, Table, Name string // likewise, in parts
	Stored              string // the column's own type in pg_type: one of text, varchar, bytea, json, jsonb
	Room                int    // characters that the column takes at most; 0: any number
	Values              string // the type of the values, as in SealTypes

	RowKey []KeyColumn // with Row: the table's primary key, in the order of the table
}

// Sealed gives how a column's values are sealed; nil when they are not. What is
// sealed for a table may lie in its partitions and heirs, so those have its name.
func (s *Set) Sealed(rel *catalog.Relation, column string) *Sealed {
	class, ok := s.Class(rel, column)
	if !ok || class.Sealing.Mode == 0 {
		return nil
	}
	c, ok := rel.Column(column)
	if !ok {
		return nil
	}
	if root := s.sealRoots[rel]; root != nil {
		rel = root
	}
	name := rel.QualifiedName() + "." + column
	out := &Sealed{Sealing: class.Sealing, Class: class.Name, Domain: name, Column: name, Schema: rel.Schema, Table: rel.Name, Name: column, Stored: c.Type.Base, Values: class.Sealing.Type}
	if class.Sealing.Joins {
		out.Domain = class.Name
	}
	if out.Values == "" {
		out.Values = out.Stored
	}
	out.Room = room(c)
	if out.Row {
		out.RowKey = rowKey(rel)
	}
	return out
}

// ValueType gives the type that values of a sealed column have, by its name in
// SealTypes, as a column of it would have it: masks are defined for it, not for
// what the sealed values are stored in. room is the n of varchar(n), 0 for none,
// and says nothing about other types.
func ValueType(name string, room int) (catalog.Type, error) {
	if !slices.Contains(SealTypes, name) {
		return catalog.Type{}, fmt.Errorf("values of type %q cannot be sealed", name)
	}
	t := catalog.Type{Schema: "pg_catalog", Name: name, Mod: -1, SQL: name, Kind: 'b', Base: name}
	if name == "varchar" && room > 0 {
		t.Mod, t.SQL = int32(room)+varHeader, fmt.Sprintf("varchar(%d)", room)
	}
	return t, nil
}

// varHeader is what the type modifier of varchar(n) has more than n.
const varHeader = 4

// BlindColumn is the column beside a randomized one that holds the keyed hashes
// of its values.
func BlindColumn(column string) string { return column + "_blind" }

// sealings checks that the columns of sealed classes can hold what is sealed.
func (c *compiler) sealings() {
	c.set.sealRoots = map[*catalog.Relation]*catalog.Relation{}
	for _, t := range c.set.governed {
		c.set.sealRoots[t.relation] = c.root(t.relation)
		for i, name := range t.classes {
			class := c.doc.classes[name]
			if class == nil || class.seal.Mode == 0 {
				continue
			}
			why := cannotSeal(t.relation, i, class.seal)
			if sealed := c.sealedKey(t); class.seal.Row && why == "" && sealed != "" {
				why = "bind: row takes a primary key that is not sealed, as " + sealed + " is"
			}
			if why != "" {
				c.add(class.name.pos, "%s.%s of class %q cannot be sealed: %s", t.relation.QualifiedName(), t.relation.Columns[i].Name, name, why)
			}
		}
	}
	for i := range c.set.subjects {
		c.sealedSubject(&c.set.subjects[i])
	}
}

// sealedKey gives a column of a table's primary key that is sealed; "" where none is.
func (c *compiler) sealedKey(t *table) string {
	for _, i := range t.relation.PrimaryKey {
		if class := c.doc.classes[t.classes[i]]; class != nil && class.seal.Mode != 0 {
			return t.relation.Columns[i].Name
		}
	}
	return ""
}

// sealedSubject checks what of a subject is sealed: it is known by its key as that
// stands in the database, and looked up by what can be compared.
func (c *compiler) sealedSubject(s *Subject) {
	refuse := func(of *Sealed, why string, args ...any) {
		c.add(c.doc.classes[of.Class].name.pos, "%s of class %q cannot be sealed: %s", of.Column, of.Class, fmt.Sprintf(why, args...))
	}
	key := []string{s.Key}
	if slices.Contains(s.Relation.PrimaryKey, s.Relation.ColumnIndex(s.Key)) {
		for _, i := range s.Relation.PrimaryKey {
			key = append(key, s.Relation.Columns[i].Name)
		}
	}
	slices.Sort(key)
	for _, column := range slices.Compact(key) {
		if of := c.set.Sealed(s.Relation, column); of != nil {
			refuse(of, "data subjects of kind %q are known by it", s.Name)
		}
	}
	for _, column := range s.FindBy {
		if of := c.set.Sealed(s.Relation, column); of != nil && of.Mode != SealDeterministic && !of.Blind {
			refuse(of, "data subjects of kind %q are found by it, which takes seal: deterministic, or index: blind", s.Name)
		} else if of != nil && of.Row {
			refuse(of, "data subjects of kind %q are found by it, also when they have no row any more, which bind: row does not allow", s.Name)
		}
	}
	for _, r := range s.References {
		for _, w := range r.Where {
			if of := c.set.Sealed(r.Relation, w.Column); of != nil {
				refuse(of, "a reference of data subjects of kind %q holds where it has some values", s.Name)
			}
		}
		for i := range min(len(r.Columns), len(r.ToColumns)) {
			from, to := c.set.Sealed(r.Relation, r.Columns[i]), c.set.Sealed(r.To, r.ToColumns[i])
			alike := from != nil && to != nil && from.Mode == SealDeterministic && from.Domain == to.Domain && from.Values == to.Values && !r.Many() && !r.FoldCase
			for _, of := range []*Sealed{from, to} {
				if of != nil && !alike {
					refuse(of, "a reference of data subjects of kind %q compares it with what is not sealed alike", s.Name)
				}
			}
		}
	}
	if t := s.Consent; t != nil {
		for _, column := range []string{t.Subject, t.Purpose, t.Given, t.Withdrawn} {
			if of := c.set.Sealed(t.Relation, column); of != nil {
				refuse(of, "consents of data subjects of kind %q are read from it", s.Name)
			}
		}
	}
}

// openly checks that a condition over a relation uses nothing that is sealed: it
// would be of the ciphertext.
func (c *compiler) openly(expr string, r *catalog.Relation) error {
	if err := c.set.check(expr, r); err != nil {
		return err
	}
	for i, column := range r.Columns {
		of := c.set.Sealed(r, column.Name)
		if of == nil {
			continue
		}
		without := *r
		without.Columns = slices.Clone(r.Columns)
		without.Columns[i].Name = "" // which no column is called
		if c.set.check(expr, &without) != nil {
			return fmt.Errorf("%s is sealed: the server cannot compare its values", of.Column)
		}
	}
	return nil
}

// maxParents bounds how deep partitions lie in partitions, and heirs under heirs.
const maxParents = 64

// root gives what a relation is a partition or an heir of in the end, as long as
// each is of one only.
func (c *compiler) root(rel *catalog.Relation) *catalog.Relation {
	for range maxParents {
		if len(rel.Parents) != 1 {
			break
		}
		parent, ok := c.cat.RelationByOID(rel.Parents[0])
		if !ok {
			break
		}
		rel = parent
	}
	return rel
}

// cannotSeal tells why a column cannot hold sealed values; "" when it can.
func cannotSeal(rel *catalog.Relation, i int, s Sealing) string {
	column := &rel.Columns[i]
	stored := column.Type.Schema == "pg_catalog" && slices.Contains(SealTypes[:inPlaceTypes], column.Type.Name)
	text := column.Type.Base == "text" || column.Type.Base == "varchar"
	blind, hasBlind := rel.Column(BlindColumn(column.Name))
	switch {
	case rel.Kind == catalog.View || rel.Kind == catalog.MaterializedView:
		return "" // what it shows is sealed where it is stored
	case column.Type.Kind == 'd':
		return fmt.Sprintf("its type is the domain %s, whose constraints would look at what is sealed: give it the base type", column.Type.SQL)
	case column.Type.Elem != 0 || !stored:
		return fmt.Sprintf("its type is %s; text, varchar, bytea, json and jsonb can hold what is sealed, and type: says what the values are", column.Type.SQL)
	case column.Generated:
		return "the server computes it"
	case column.HasDefault:
		return "it has a default, which would be stored in clear"
	case s.Mode == SealDeterministic && (column.Type.Base == "json" || column.Type.Base == "jsonb"):
		return "equal documents can be written differently, so only randomized suits them"
	case s.Format.Alphabet != "" && !text:
		return "only text keeps a format"
	case room(column) > 0 && s.Format.Most > room(column):
		return fmt.Sprintf("%s does not fit %s", s.Format, column.Type.SQL)
	case s.Mode == SealRandomized && (slices.Contains(rel.PrimaryKey, i) || refers(rel, column.Name)):
		return "it is part of a key, and equal values would look different: seal it deterministic"
	case !s.Joins && refers(rel, column.Name):
		return "it refers to another column, whose values would be sealed otherwise: put both in a class with joins"
	case s.Type != "" && s.Type != column.Type.Base && !text && column.Type.Base != "bytea":
		return "values of another type are stored as text or bytea"
	case s.Blind && !hasBlind:
		return fmt.Sprintf("index: blind takes a column %s bytea beside it", BlindColumn(column.Name))
	case s.Blind && (blind.Type.Name != "bytea" || blind.Type.Schema != "pg_catalog" || blind.NotNull && !column.NotNull || blind.HasDefault):
		return fmt.Sprintf("%s is to be bytea, without a default, and NULL where the value is", BlindColumn(column.Name))
	case s.Row:
		return cannotBind(rel)
	default:
		return ""
	}
}

// room gives how many characters a column takes at most; 0: any number.
func room(c *catalog.Column) int {
	if c.Type.Base == "varchar" && c.Type.Mod > varHeader {
		return int(c.Type.Mod) - varHeader
	}
	return 0
}

// refers tells whether a column is part of a foreign key.
func refers(rel *catalog.Relation, column string) bool {
	return slices.ContainsFunc(rel.ForeignKeys, func(k catalog.ForeignKey) bool { return slices.Contains(k.Columns, column) })
}
