package ddl

import (
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// varlenaHeader is what PostgreSQL adds to the modifiers of some types
// (VARHDRSZ).
const varlenaHeader = 4

// withModifier gives a type its modifier: what its typmodin function makes of
// the numbers in brackets, and what format_type makes of that.
func withModifier(t catalog.Type, nodes []*pg.Node) (catalog.Type, error) {
	args, err := integers(nodes)
	if err != nil {
		return t, fmt.Errorf("modifier of type %s: %w", t.SQL, err)
	}
	if t.Schema != "pg_catalog" {
		return t, fmt.Errorf("type %s takes no modifier", t.SQL)
	}
	n := args[0]
	switch {
	case t.Name == "interval" && len(args) <= 2:
		return intervalModifier(t, args)
	case t.Name == "numeric" && len(args) <= 2:
		return numericModifier(t, args)
	case len(args) != 1 || n < 0:
		return t, fmt.Errorf("invalid modifier of type %s", t.SQL)
	}
	switch t.Name {
	case "varchar":
		t.Mod, t.SQL = n+varlenaHeader, fmt.Sprintf("character varying(%d)", n)
	case "bpchar":
		t.Mod, t.SQL = n+varlenaHeader, fmt.Sprintf("character(%d)", n)
	case "bit":
		t.Mod, t.SQL = n, fmt.Sprintf("bit(%d)", n)
	case "varbit":
		t.Mod, t.SQL = n, fmt.Sprintf("bit varying(%d)", n)
	case "time", "timetz", "timestamp", "timestamptz":
		t.Mod = min(n, maxPrecision)
		first, rest, _ := strings.Cut(t.SQL, " ")
		t.SQL = fmt.Sprintf("%s(%d) %s", first, t.Mod, rest)
	default:
		return t, fmt.Errorf("a modifier of type %s is not supported", t.SQL)
	}
	return t, nil
}

// maxPrecision is how many digits of a second PostgreSQL keeps. It lowers what
// asks for more (MAX_TIMESTAMP_PRECISION).
const maxPrecision = 6

func integers(nodes []*pg.Node) ([]int32, error) {
	args := make([]int32, len(nodes))
	for i, n := range nodes {
		c := n.GetAConst()
		if _, ok := c.GetVal().(*pg.A_Const_Ival); !ok {
			return nil, fmt.Errorf("is not a number")
		}
		args[i] = c.GetIval().GetIval()
		if args[i] > 1<<24 {
			return nil, fmt.Errorf("%d is too large", args[i])
		}
	}
	return args, nil
}

func numericModifier(t catalog.Type, args []int32) (catalog.Type, error) {
	precision, scale := args[0], int32(0)
	if len(args) == 2 {
		scale = args[1]
	}
	if precision < 1 || precision > 1000 || scale < -1000 || scale > 1000 {
		return t, fmt.Errorf("numeric(%d,%d) is out of range", precision, scale)
	}
	t.Mod = (precision<<16 | scale&0x7ff) + varlenaHeader
	t.SQL = fmt.Sprintf("numeric(%d,%d)", precision, scale)
	return t, nil
}

// The fields of an interval's modifier, by PostgreSQL's numbers (datetime.h,
// timestamp.h).
const (
	month  = 1 << 1
	year   = 1 << 2
	day    = 1 << 3
	hour   = 1 << 10
	minute = 1 << 11
	second = 1 << 12

	allFields    = 0x7fff
	anyPrecision = 0xffff
)

// intervalFields spells the combinations that the grammar can name.
func intervalFields(fields int32) (string, bool) {
	switch fields {
	case allFields:
		return "", true
	case year:
		return " year", true
	case month:
		return " month", true
	case day:
		return " day", true
	case hour:
		return " hour", true
	case minute:
		return " minute", true
	case second:
		return " second", true
	case year | month:
		return " year to month", true
	case day | hour:
		return " day to hour", true
	case day | hour | minute:
		return " day to minute", true
	case day | hour | minute | second:
		return " day to second", true
	case hour | minute:
		return " hour to minute", true
	case hour | minute | second:
		return " hour to second", true
	case minute | second:
		return " minute to second", true
	default:
		return "", false
	}
}

func intervalModifier(t catalog.Type, args []int32) (catalog.Type, error) {
	fields, ok := intervalFields(args[0])
	if !ok {
		return t, fmt.Errorf("invalid modifier of type interval")
	}
	precision := int32(anyPrecision)
	t.SQL += fields
	switch {
	case len(args) == 2 && args[1] >= 0:
		precision = min(args[1], maxPrecision)
		t.SQL += fmt.Sprintf("(%d)", precision)
	case len(args) == 2:
		return t, fmt.Errorf("invalid modifier of type interval")
	case args[0] == allFields:
		return t, nil
	}
	t.Mod = args[0]<<16 | precision
	return t, nil
}
