package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sheet collects the rows of one table.
type sheet struct {
	name    string
	columns []string
	rows    []byte
	count   int
}

func newSheet(name, columns string) *sheet {
	return &sheet{name: "crm." + name, columns: strings.Fields(columns)}
}

// The kinds of value that print otherwise than their Go types do.
type (
	cents int       // of a numeric(p, 2)
	day   time.Time // of a date
	null  struct{}
)

// escape spells what the text format of COPY would take for its own.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// add appends a row. It panics on values that no column here has, which is a
// mistake in this package that any run finds.
func (s *sheet) add(values ...any) {
	if len(values) != len(s.columns) {
		panic(fmt.Sprintf("%s: %d values for %d columns", s.name, len(values), len(s.columns)))
	}
	for i, v := range values {
		if i > 0 {
			s.rows = append(s.rows, '\t')
		}
		s.rows = append(s.rows, copyText(v)...)
	}
	s.rows = append(s.rows, '\n')
	s.count++
}

// next gives the id of the row to come.
func (s *sheet) next() int { return s.count + 1 }

func copyText(v any) string {
	switch v := v.(type) {
	case null:
		return `\N`
	case string:
		return escape.Replace(v)
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case cents:
		return fmt.Sprintf("%d.%02d", v/100, v%100)
	case day:
		return time.Time(v).Format(time.DateOnly)
	case time.Time:
		return v.Format("2006-01-02 15:04:05Z07:00")
	default:
		panic(fmt.Sprintf("no column holds a %T", v))
	}
}

func (s *sheet) table() Table { return Table{s.name, s.columns, s.rows} }
