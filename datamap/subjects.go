package datamap

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// Subject is a kind of person that a table seems to hold.
type Subject struct {
	Name       string   `json:"name"`
	Table      string   `json:"table"`
	Key        string   `json:"key"`
	FindBy     []string `json:"find_by,omitempty"`
	Confidence float64  `json:"confidence"`
	Why        []string `json:"why"`

	relation *catalog.Relation
}

// Reference is a column that seems to hold what a subject is known by, without a
// foreign key that says so.
type Reference struct {
	Subject    string  `json:"subject"`
	From       string  `json:"from"` // schema.table.column
	Item       string  `json:"item"` // for the policy: an item of the subject's references
	Confidence float64 `json:"confidence"`
	Why        string  `json:"why"`
}

// subjects proposes tables of persons.
func (m *Map) subjects() []Subject {
	var found []Subject
	for _, t := range m.Tables {
		r := t.Relation
		if r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable || len(r.Parents) > 0 {
			continue
		}
		score, reasons := m.personhood(t)
		switch {
		case score < enough:
		case len(r.PrimaryKey) != 1:
			t.Notes = append(t.Notes, "may hold persons, but has no primary key of one column: no subject is proposed")
		case m.extends(t):
			t.Notes = append(t.Notes, "holds more about the persons of the table that its key refers to")
		default:
			found = append(found, Subject{Table: t.Name, Key: r.Columns[r.PrimaryKey[0]].Name, FindBy: t.findBy(), Confidence: score, Why: reasons, relation: r})
		}
	}
	nameSubjects(found)
	return found
}

// personhood tells how surely the rows of a table are persons.
func (m *Map) personhood(t *Table) (score float64, reasons []string) {
	left := 1.0
	add := func(weight float64, format string, args ...any) {
		left *= 1 - weight
		reasons = append(reasons, fmt.Sprintf(format, args...))
	}
	if word, ok := personTable(t.Relation.Name); ok {
		add(0.35, "the table's name has %q", word)
	}
	classes := map[Class]int{}
	for _, c := range t.Columns {
		classes[c.Class]++
	}
	if classes[Name] == 0 && classes[Username] == 0 && classes[Email] == 0 {
		return 0, nil
	}
	for class, weight := range map[Class]float64{Name: 0.3, Email: 0.25, Phone: 0.15, BirthDate: 0.35, Gender: 0.25, NationalID: 0.3, Credential: 0.15, Address: 0.1} {
		if classes[class] > 0 {
			left *= 1 - weight
		}
	}
	for _, k := range kinds {
		if classes[k.class] > 0 && slices.Contains([]Class{Name, Email, Phone, BirthDate, Gender, NationalID, Credential, Address}, k.class) {
			reasons = append(reasons, "it has "+string(k.class))
		}
	}
	if n := m.referring(t); n > 0 {
		add(0.05*float64(min(n, 4)), "%d foreign keys refer to it", n)
	}
	if !t.standing.persons {
		left = math.Min(1, left*1.6)
	}
	return math.Round((1-left)*100) / 100, reasons
}

func (m *Map) referring(t *Table) (n int) {
	for _, from := range m.Tables {
		for _, fk := range from.Relation.ForeignKeys {
			if fk.RefSchema == t.Relation.Schema && fk.RefTable == t.Relation.Name {
				n++
			}
		}
	}
	return n
}

// extends tells whether a table's key is that of another table of persons: then
// its rows are not persons of their own.
func (m *Map) extends(t *Table) bool {
	key := t.Relation.Columns[t.Relation.PrimaryKey[0]].Name
	return slices.ContainsFunc(t.Relation.ForeignKeys, func(fk catalog.ForeignKey) bool {
		return slices.Equal(fk.Columns, []string{key}) && fk.RefTable != t.Relation.Name
	})
}

// findBy gives the columns by which a person may be looked up.
func (t *Table) findBy() (columns []string) {
	for _, want := range []Class{Email, Phone, NationalID, Username} {
		for _, c := range t.Columns {
			column, _ := t.Relation.Column(c.Name)
			form := formOf(column.Type)
			if c.Class == want && column.Type.Elem == 0 && (form == formText || form == formNumber) {
				columns = append(columns, c.Name)
			}
		}
	}
	return columns
}

// nameSubjects names each after its table, and after its schema too where two
// would be called the same.
func nameSubjects(all []Subject) {
	taken := map[string]bool{}
	for i := range all {
		r := all[i].relation
		name := singular(r.Name)
		for n, other := 2, name; taken[name] || name == ""; n++ {
			name = fmt.Sprintf("%s_%d", strings.Trim(strings.Join(tokens(r.Schema), "_")+"_"+other, "_"), n)
		}
		taken[name], all[i].Name = true, name
	}
}

// singular gives what one row of a table is called: letters of ASCII, digits and
// underscores.
func singular(table string) string {
	all := tokens(table)
	if len(all) == 0 {
		return ""
	}
	last := &all[len(all)-1]
	for _, one := range []string{strings.TrimSuffix(*last, "s"), strings.TrimSuffix(*last, "es"), strings.TrimSuffix(*last, "en"), strings.TrimSuffix(*last, "n")} {
		if one != *last && (personWord(one) || strings.HasSuffix(*last, "s")) {
			*last = one
			break
		}
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return -1
	}, strings.Join(all, "_"))
	if name == "any" {
		return "any_one"
	}
	return strings.Trim(name, "_")
}

// keyWords end the names of columns that refer to a row elsewhere.
var keyWords = []string{"id", "key", "ref", "no", "nr", "num", "number", "uuid", "fk", "code", "pk"}

// calledAfter is how surely a column refers to what it is called after.
const calledAfter = 0.7

// references proposes references to subjects by the names and types of columns.
func (m *Map) references() (found []Reference) {
	for i := range m.Subjects {
		s := &m.Subjects[i]
		key, _ := s.relation.Column(s.Key)
		for _, t := range m.Tables {
			if t.Relation == s.relation || t.Relation.Kind != catalog.Table && t.Relation.Kind != catalog.PartitionedTable {
				continue
			}
			for _, c := range t.Columns {
				column, _ := t.Relation.Column(c.Name)
				if t.refers(c.Name) || !sameKey(column.Type, key.Type) || !callsKey(c.Name, s) {
					continue
				}
				found = append(found, Reference{
					s.Name, t.Name + "." + c.Name, "{from: " + scalar(m.path(t, c)) + "}", calledAfter, fmt.Sprintf("it is called after %s and has the type of its key", s.Table),
				})
			}
		}
	}
	return found
}

func sameKey(a, b catalog.Type) bool {
	if a.Elem != 0 || b.Elem != 0 {
		return false
	}
	whole := []string{"int2", "int4", "int8"}
	text := []string{"text", "varchar", "bpchar", "citext"}
	return a.Base == b.Base || slices.Contains(whole, a.Base) && slices.Contains(whole, b.Base) || slices.Contains(text, a.Base) && slices.Contains(text, b.Base)
}

// callsKey tells whether a column is called as one is that holds a subject's key:
// customer_id, id_customer, CustomerRef.
func callsKey(column string, s *Subject) bool {
	all := tokens(column)
	if len(all) < 2 {
		return false
	}
	for _, whom := range []string{singular(s.relation.Name), joined(tokens(s.relation.Name)), s.Name} {
		whom = strings.ReplaceAll(whom, "_", "")
		if whom != "" && (slices.Contains(keyWords, all[len(all)-1]) && joined(all[:len(all)-1]) == whom || all[0] == "id" && joined(all[1:]) == whom) {
			return true
		}
	}
	return false
}
